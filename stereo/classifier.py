"""The classifier: images or event frames in, one score per class out.

Shapes: ``T`` time steps, ``B`` batch, ``C`` channels, ``K`` classes, ``H, W`` size of the input,
``h, w`` of the stem's output. Spiking signals are ``[T, B, C, ...]``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from nas.cell import CellPath, FixedPart, over_time, stages_run_once
from nas.dims import ConvNorm
from nas.genotype import Dynamics, Genotype
from nas.relaxed.path import RelaxedPart
from stereo.classifier_config import ClassifierConfig, ClassifierNetwork
from stereo.config import load_genotype
from stereo.errors import StereoError

PartMaker = FixedPart | RelaxedPart
"""Makes the layers of the part, as a genotype says or as they are searched."""


class Stem(nn.Module):
    """Convolutions before the cells; a static image passes the first of them once, not T times.

    Args:
        config: number, strides and widths of the convolutions.
        make: makes what fires behind each of them.
    """

    def __init__(self, config: ClassifierNetwork, make: PartMaker) -> None:
        super().__init__()
        widths = config.stem_widths
        self.convolutions = nn.ModuleList(
            ConvNorm(2, inputs, width, stride=stride)
            for inputs, width, stride in zip(
                (config.inputs, *widths), widths, config.stem_strides, strict=False
            )
        )
        self.fires = nn.ModuleList(make.fire("stem", [nn.Identity()]) for _ in widths)
        self.steps = config.steps
        self.out_channels = widths[-1]

    def forward(self, x: Float[Tensor, "*T B C H W"]) -> Float[Tensor, "T B F h w"]:
        """Return spikes of all time steps, from one image for all of them or one frame for each."""
        first, *more = self.convolutions
        if x.ndim == 4:
            current = first(x)
            current = current.expand(self.steps, *current.shape)
        else:
            current = over_time(first, x)
        spikes: Tensor = self.fires[0](current)
        for convolution, fire in zip(more, self.fires[1:], strict=True):
            spikes = fire(over_time(convolution, spikes))
        return spikes


class Head(nn.Module):
    """Global pool, which may fire, and one linear layer with its norm, which does not.

    A layer that never fires sees the mean over time: it is linear, so it is enough to run it once.

    Args:
        inputs: channels.
        classes: scores.
        make: makes what fires behind the pool; None for plain averages.
    """

    def __init__(self, inputs: int, classes: int, make: PartMaker | None) -> None:
        super().__init__()
        self.fire = None if make is None else make.fire("end", [nn.Identity()])
        self.linear = nn.Linear(inputs, classes)
        self.norm = nn.BatchNorm1d(classes)

    def forward(self, spikes: Float[Tensor, "T B C h w"]) -> Float[Tensor, "B K"]:
        """Return the scores, averaged over time."""
        pooled = over_time(lambda x: F.adaptive_avg_pool2d(x, 1), spikes)
        if self.fire is None:
            return self._score(pooled.mean(dim=0))
        return over_time(self._score, self.fire(pooled)).mean(dim=0)

    def _score(self, pooled: Float[Tensor, "N C 1 1"]) -> Float[Tensor, "N K"]:
        return self.norm(self.linear(pooled.flatten(1)))  # type: ignore[no-any-return]


class AuxiliaryHead(nn.Module):
    """A second opinion from the middle of the network, to train by only.

    Pooled to 2 x 2, two convolutions that fire, linear and norm, as in the published code; its
    5 x 5 pool of stride 3 gives 2 x 2 at the size of CIFAR, and only there.

    Args:
        inputs: channels.
        classes: scores.
        dynamics: how its layers fire.
    """

    WIDTHS = (128, 768)

    def __init__(self, inputs: int, classes: int, dynamics: Dynamics) -> None:
        super().__init__()
        narrow, wide = self.WIDTHS
        self.squeeze = ConvNorm(2, inputs, narrow, kernel=1)
        self.whole = nn.Sequential(nn.Conv2d(narrow, wide, 2), nn.BatchNorm2d(wide))
        self.neurons = nn.ModuleList(dynamics.build(2) for _ in range(2))
        self.linear = nn.Linear(wide, classes)
        self.norm = nn.BatchNorm1d(classes)

    def forward(self, spikes: Float[Tensor, "T B C h w"]) -> Float[Tensor, "B K"]:
        """Return the scores, averaged over time."""
        x = over_time(lambda s: F.adaptive_avg_pool2d(s, 2), spikes)
        for layer, neuron in zip((self.squeeze, self.whole), self.neurons, strict=True):
            x = neuron(over_time(layer, x))
        return over_time(lambda s: self.norm(self.linear(s.flatten(1))), x).mean(dim=0)


class SpikingClassifier(nn.Module):
    """Static images ``[B, C, H, W]`` or event frames ``[T, B, C, H, W]`` in, scores ``[B, K]`` out.

    A static image is the input of every time step (direct coding).

    Args:
        config: everything that defines the network.
        genotype: the searched part; read from the configuration unless given.
        auxiliary: whether to build the auxiliary head that the configuration names, for training.

    Attributes:
        batch_dim: axis of the input that counts samples, for an account of energy.
        time_steps: of an inference, likewise.
    """

    training_only = ("auxiliary.",)
    """Beginnings of the names of weights that are not deployed."""

    auxiliary: AuxiliaryHead | None

    def __init__(
        self,
        config: ClassifierConfig,
        genotype: Genotype | None = None,
        *,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.genotype = genotype or load_genotype(config.network.genotype)
        if "feature" not in self.genotype.parts or self.genotype.parts["feature"].dimension != 2:
            raise StereoError(
                "A classifier needs a genotype with a 2-D part 'feature'; this one has the parts "
                f"{sorted(self.genotype.parts)}."
            )
        part = self.genotype.parts["feature"]
        once = stages_run_once({"feature": part})
        self._build(config, FixedPart(part=part, once=once["feature"]))
        if auxiliary and config.network.auxiliary >= 0:
            (end,) = part.stages["end"]
            self.auxiliary = self._auxiliary(end)

    def _build(self, config: ClassifierConfig, make: PartMaker) -> None:
        """Assemble the network from what makes its part."""
        self.config = config
        setting = config.network
        self.batch_dim = 1 if setting.frames else 0
        self.time_steps = setting.steps
        self.stem = Stem(setting, make)
        self.cells = make.path(self.stem.out_channels, setting.channels, setting.outputs)
        self.head = self._head(make if setting.pool == "spiking" else None)
        self.auxiliary = None

    def forward(
        self, x: Float[Tensor, "B C H W"] | Float[Tensor, "T B C H W"]
    ) -> Float[Tensor, "B K"]:
        """Return the score of every class, higher is likelier."""
        spikes = self.stem(x)
        spikes = self.cells(spikes)
        scores: Tensor = self.head(self.cells.enter("end", spikes))
        return scores

    def both(
        self, x: Float[Tensor, "B C H W"] | Float[Tensor, "T B C H W"]
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"] | None]:
        """Return the scores, and those of the auxiliary head if there is one."""
        if self.auxiliary is None:
            return self(x), None
        assert isinstance(self.cells, CellPath), "only a fixed network has an auxiliary head"
        with _output_of(self.cells.cells[self.config.network.auxiliary]) as seen:
            scores = self(x)
        return scores, self.auxiliary(seen[-1])

    def _head(self, pool: PartMaker | None) -> nn.Module:
        """Return what reads the last cell."""
        assert isinstance(self.cells, CellPath)
        return Head(self.cells.out_channels, self.config.network.classes, pool)

    def _auxiliary(self, dynamics: Dynamics) -> AuxiliaryHead:
        setting, path = self.config.network, self.genotype.parts["feature"].path
        if setting.auxiliary >= len(path):
            raise StereoError(
                f"network.auxiliary is {setting.auxiliary}, but the genotype has {len(path)} "
                "layers, counted from 0."
            )
        width = setting.outputs * setting.channels * 2 ** path[setting.auxiliary]
        return AuxiliaryHead(width, setting.classes, dynamics)


@contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module returns inside the block."""
    seen: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()
