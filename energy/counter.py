"""Watch one run of a model: count its synaptic layers, list whatever else did arithmetic."""

from collections import Counter as Tally
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from energy.errors import EnergyError
from energy.provenance import MOVES, ZEROS, Provenance, tensors_in
from energy.rules import RULES

NO_ARITHMETIC = MOVES | ZEROS | {
    "__setitem__", "pad", "size", "dim", "numel", "new_empty", "empty", "empty_like", "arange",
    "new_full", "full", "ones", "new_ones", "is_contiguous", "stride", "requires_grad_", "__get__",
    "item", "is_floating_point", "data_ptr", "argmax", "meshgrid", "masked_fill", "where", "numpy",
    "__len__", "__bool__", "copy_", "fill_", "zero_",
}  # fmt: skip
"""Functions that only move, make or describe tensors; work in them is nobody's arithmetic."""


@dataclass
class LayerTally:
    """Running totals of one layer over all its calls."""

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    calls: int = 0
    ac: int = 0
    mac: int = 0
    dense: int = 0
    spikes: int = 0
    spike_inputs: int = 0


class Counter(TorchFunctionMode):
    """Context in which a model's work is counted; leaves the model as it was.

    Args:
        model: the model to name layers after.
        strict: raise if a declared spike is not 0 or 1; otherwise warn.
    """

    def __init__(self, model: nn.Module, *, strict: bool = False) -> None:
        super().__init__()
        self.model, self.strict = model, strict
        self.layers: dict[tuple[str, str, int], LayerTally] = {}
        self.uncounted: Tally[tuple[str, str]] = Tally()
        self.uncounted_calls: Tally[tuple[str, str]] = Tally()
        self.warnings: list[str] = []
        self._provenance = Provenance()
        self._path: list[tuple[str, nn.Module]] = []
        self._inside_neuron = 0
        self._hooks = ExitStack()

    def __enter__(self) -> "Counter":
        """Hook every module, for its name and for what it emits."""
        for name, module in self.model.named_modules():
            enter = module.register_forward_pre_hook(self._entering(name))
            leave = module.register_forward_hook(self._leaving)
            self._hooks.callback(enter.remove)
            self._hooks.callback(leave.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *details: Any) -> None:
        """Remove every hook, whatever happened."""
        super().__exit__(*details)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one torch function and account for it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name in RULES:
            self._count(name, args, kwargs, out)
        else:
            if not self._inside_neuron:
                self._list(name, kwargs, out)
            self._provenance.follow(name, args, kwargs, out)
        return out

    def _count(
        self, kind: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Tensor
    ) -> None:
        """Add one call of a synaptic layer."""
        work = RULES[kind](args, kwargs, out)
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        tally = self._tally(kind, id(weight))
        tally.calls += 1
        tally.shape = work.shape
        dense = work.dense()
        tally.dense += dense
        if self._provenance.is_spikes(work.x):
            count = work.spikes()
            self._verify(count.not_binary, tally.name)
            tally.ac += count.events
            tally.spikes += count.spikes
            tally.spike_inputs += work.x.numel()
        else:
            tally.mac += dense

    def _tally(self, kind: str, weight: int) -> LayerTally:
        path, module = self._path[-1] if self._path else ("", self.model)
        key = (path, kind, weight)
        if key not in self.layers:
            leaf = path and next(module.children(), None) is None
            name = path if leaf else ".".join(part for part in (path, kind) if part)
            taken = sum(t.name.split("#")[0] == name for t in self.layers.values())
            self.layers[key] = LayerTally(name if not taken else f"{name}#{taken + 1}", kind)
        return self.layers[key]

    def _verify(self, not_binary: int, layer: str) -> None:
        """Values only confirm what structure says."""
        if not_binary == 0:
            return
        message = (
            f"The input of {layer} comes from a module that declares emits_spikes, but holds "
            "values other than 0 and 1. Remove the declaration or mend the module."
        )
        if self.strict:
            raise EnergyError(message)
        self.warnings.append(message)

    def _list(self, name: str, kwargs: Mapping[str, Any], out: object) -> None:
        """List work that no rule covers, by function and layer."""
        moving = name in NO_ARITHMETIC or (
            name == "interpolate" and kwargs.get("mode", "nearest").startswith("nearest")
        )
        elements = sum(t.numel() for t in tensors_in(out))
        if moving or elements <= 1:
            return
        key = (name, self._path[-1][0] if self._path else "")
        self.uncounted[key] += elements
        self.uncounted_calls[key] += 1

    def _entering(self, name: str) -> Any:
        def hook(module: nn.Module, _args: object) -> None:
            self._path.append((name, module))
            self._inside_neuron += _is_neuron(module)

        return hook

    def _leaving(self, module: nn.Module, _args: object, output: object) -> None:
        name, _ = self._path.pop()
        self._inside_neuron -= _is_neuron(module)
        if not getattr(module, "emits_spikes", False):
            return
        self._provenance.mark(output)
        if _is_neuron(module) and not self._inside_neuron:
            first = output[0] if isinstance(output, tuple) else output
            key = (f"neuron update ({type(module).__name__})", name)
            self.uncounted[key] += sum(t.numel() for t in tensors_in(first))
            self.uncounted_calls[key] += 1


def _is_neuron(module: nn.Module) -> bool:
    """A module that turns currents into spikes; an identity only declares them."""
    return bool(getattr(module, "emits_spikes", False)) and not isinstance(module, nn.Identity)


def run_counted(model: nn.Module, inputs: tuple[Any, ...], *, strict: bool) -> Counter:
    """Run ``model(*inputs)`` once in eval mode without gradients and return what was counted."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), Counter(model, strict=strict) as counter:
            model(*inputs)
    finally:
        for module, mode in modes:
            module.training = mode
    return counter
