"""One set of weights for candidates that never run together: each looks at its part of it.

With weights of its own, every candidate learns only from the passes in which it is drawn, and in a
search of some thousand steps that is next to nothing. Tied, the convolutions of one edge share one
kernel, whatever their size and at whatever level of the trellis the cell stands:

* a small kernel is the middle of the large one, a dilated one takes every second of its taps;
* at a level with fewer channels, each ``most / own``-th channel of the widest is taken, so that the
  channels of a node remain those of the same node.

Norms stay apart, as what they normalize differs.

References: Stamoulis et al., "Single-Path NAS", 2019 (one kernel for all sizes); Chen et al.,
"AutoFormer", ICCV 2021 (weight entanglement over widths).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from nas.dims import ConvNorm

Key = tuple[object, ...]
Slices = tuple[slice, ...]


class _Tied(nn.Module):
    """A layer whose weight is a part of a shared one."""

    _shared: tuple[nn.Parameter, Slices]

    @property
    def weight(self) -> Tensor:
        """The part, a view with its gradient to the whole."""
        whole, part = self._shared
        return whole[part]


class TiedConv2d(_Tied, nn.Conv2d):  # type: ignore[override]
    """``nn.Conv2d`` with a part of a shared kernel."""


class TiedConv3d(_Tied, nn.Conv3d):  # type: ignore[override]
    """``nn.Conv3d`` with a part of a shared kernel."""


class TiedLinear(_Tied, nn.Linear):  # type: ignore[override]
    """``nn.Linear`` with a part of a shared matrix."""


TIED: Mapping[type[nn.Module], type[_Tied]] = {
    nn.Conv2d: TiedConv2d, nn.Conv3d: TiedConv3d, nn.Linear: TiedLinear,
}  # fmt: skip


def tie(groups: Iterable[tuple[Key, nn.Module]]) -> nn.ParameterList:
    """Let all layers of one key share one weight, in place.

    Args:
        groups: convolutions and linear layers with their keys; those of one key are of one type.

    Returns:
        The shared weights, in the order in which their keys came first; keep them as a part of the
        module that the layers belong to.
    """
    members: dict[Key, list[nn.Module]] = defaultdict(list)
    for key, layer in groups:
        members[key].append(layer)
    return nn.ParameterList(_share(layers) for layers in members.values())


def layers_of(op: nn.Module) -> Iterator[tuple[Key, nn.Module]]:
    """Yield the layers of an operation that have a weight to share, with what tells them apart.

    Plain convolutions with their norm are all alike; those of other operations share with the same
    operation elsewhere.
    """
    for name, layer in op.named_modules():
        if type(layer) in TIED:
            alike = isinstance(op, ConvNorm)
            yield (("kernel",) if alike else (type(op).__name__, name)), layer


def weights_of(module: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the state of a module by names as in a plain one, tied weights too."""
    found = {}
    for name in names:
        owner, _, last = name.rpartition(".")
        found[name] = getattr(module.get_submodule(owner), last).detach()
    return found


def untied_numel(module: nn.Module) -> int:
    """Return the number of a layer's own weights, those that it shares too."""
    own = sum(p.numel() for p in module.parameters(recurse=False))
    return own + (module.weight.numel() if isinstance(module, _Tied) else 0)


def _share(layers: list[nn.Module]) -> nn.Parameter:
    """Make the weight that all of these look at, as large as the largest along every axis."""
    reaches = [_reach(layer) for layer in layers]
    shapes = [(*_shape(layer)[:2], *reach) for layer, reach in zip(layers, reaches, strict=True)]
    largest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    whole = nn.Parameter(torch.empty(largest))
    nn.init.kaiming_uniform_(whole, a=5**0.5)  # as torch begins convolutions and linear layers
    for layer, reach in zip(layers, reaches, strict=True):
        channels = zip(largest[:2], _shape(layer)[:2], strict=True)
        taps = zip(largest[2:], reach, _dilation(layer), strict=True)
        part = (
            *(_every(most, own) for most, own in channels),
            *(_middle(most, own, step) for most, own, step in taps),
        )
        before = layer.weight.shape
        del layer.weight
        layer.__class__ = TIED[type(layer)]
        layer._shared = whole, part  # type: ignore[assignment]  # in a tuple: not its own parameter
        assert layer.weight.shape == before
    return whole


def _shape(layer: nn.Module) -> tuple[int, ...]:
    assert isinstance(layer.weight, Tensor)
    return tuple(layer.weight.shape)


def _dilation(layer: nn.Module) -> tuple[int, ...]:
    return tuple(getattr(layer, "dilation", ()))


def _reach(layer: nn.Module) -> tuple[int, ...]:
    """Return from how many neighbors the first and last tap of a kernel are apart, and one."""
    kernel = _shape(layer)[2:]
    return tuple((size - 1) * d + 1 for size, d in zip(kernel, _dilation(layer), strict=True))


def _every(most: int, own: int) -> slice:
    """Take so many of some channels, evenly where that goes up."""
    step = most // own if most % own == 0 else 1
    return slice(0, step * own, step)


def _middle(most: int, reach: int, step: int) -> slice:
    start = (most - reach) // 2
    return slice(start, start + reach, step)
