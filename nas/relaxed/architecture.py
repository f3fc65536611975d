"""The architecture of one part as parameters, and what it says for one forward pass."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nas.genotype import Dynamics
from nas.relaxed.beliefs import (
    PartBeliefs,
    PartGates,
    Step,
    arrivals,
    gates,
    reach,
    reachable,
    sample,
    stages,
)
from nas.space import PartSpace

SPREAD = 1e-3
"""Standard deviation of the first logits: small, so that no choice is ahead, but none is a tie."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Everything that one forward pass multiplies with; plain tensors with gradients.

    Attributes:
        edges: of each node, by source, the probability that the edge is kept.
        ops: of each edge ``(node, source)``, ``[K]`` weights of the candidates.
        each_op: the same one by one.
        reach: by layer and level, the probability that the path visits the place.
        arrivals: by layer and level, where the two cells before come from, given that it does.
        spiking: by stage; empty if stages are not searched.
        once: by stage, the probability that it runs once, on the mean over time, because it and
            all behind it are analog; empty likewise.
    """

    edges: Mapping[tuple[int, str], Tensor]
    ops: Mapping[tuple[int, str], Tensor]
    each_op: Mapping[tuple[int, str], tuple[Tensor, ...]]
    reach: Mapping[Step, Tensor]
    arrivals: Mapping[Step, tuple[Mapping[int, Tensor], Mapping[int, Tensor]]]
    spiking: Mapping[str, Tensor]
    once: Mapping[str, Tensor]


class PartArchitecture(nn.Module):
    """Logits of one part; ``decide`` turns them into what a forward pass multiplies with.

    The modules of the part hold a reference to this one and read ``now``, so every softmax is
    taken once per forward pass, whatever the network calls how often.

    Args:
        space: what is open.
        sampled: draw each decision anew for every forward pass (straight-through Gumbel), so that
            only what was drawn is computed and kept; otherwise everything is mixed.
    """

    def __init__(self, space: PartSpace, *, sampled: bool = False) -> None:
        super().__init__()
        self.space = space
        self.sampled = sampled
        self.softness = 1.0
        self.edges = nn.ParameterList(_logits(len(space.sources(n))) for n in range(space.nodes))
        self.ops = _logits(len(space.pairs), len(space.candidates))
        self.steps = nn.ParameterDict(
            {_name(step): _logits(len(levels)) for step, levels in reachable(space).items()}
        )
        named = stages(space) if space.analog else ()
        self.spiking = nn.ParameterDict({stage: _logits() for stage in named})
        self._now: Choices | None = None
        self._decided: PartGates | None = None

    @property
    def now(self) -> Choices:
        """What the present forward pass multiplies with.

        Raises:
            RuntimeError: ``decide`` was not called.
        """
        if self._now is None:
            raise RuntimeError("Call decide() before a forward pass of a relaxed network.")
        return self._now

    @property
    def decided(self) -> PartGates:
        """The decisions behind ``now``, or their probabilities.

        Raises:
            RuntimeError: ``decide`` was not called.
        """
        if self._decided is None:
            raise RuntimeError("Call decide() first; nothing is decided yet.")
        return self._decided

    def beliefs(
        self, dynamics: Mapping[tuple[int, int, int], Dynamics] | None = None
    ) -> PartBeliefs:
        """Return the logits, with their gradients."""
        return PartBeliefs(
            edges=tuple(self.edges),
            ops=self.ops,
            steps={step: self.steps[_name(step)] for step in reachable(self.space)},
            # In the order in which they run: a ParameterDict sorts by name.
            spiking={stage: self.spiking[stage] for stage in stages(self.space) if self.spiking},
            dynamics=dynamics or {},
        )

    def sharpened(self) -> PartBeliefs:
        """Return the logits divided by the present softness: what a mixture is made by."""
        return _scaled(self.beliefs(), 1.0 / self.softness)

    def decide(self, after: Tensor | float = 1.0, *, sampled: bool | None = None) -> Tensor:
        """Set ``now`` for one forward pass.

        Args:
            after: the probability that all that follows the part is analog.
            sampled: whether to draw; as the part was made, in training mode, unless given.

        Returns:
            The probability that the part and all that follows it is analog.
        """
        if self.sampled and self.training if sampled is None else sampled:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
            drawn = sample(self.space, self.beliefs(), generator, self.softness)
        else:
            drawn = gates(self.space, self.sharpened())
        self._now, self._decided = self._choices(drawn, after), drawn
        return self._now.once.get(stages(self.space)[0], torch.zeros(()))

    def load(self, beliefs: PartBeliefs) -> None:
        """Take over logits, for example those of a genotype (``nas.decode.beliefs_of``)."""
        beliefs.check(self.space)
        with torch.no_grad():
            for own, given in zip(self.edges, beliefs.edges, strict=True):
                own.copy_(given)
            self.ops.copy_(beliefs.ops)
            for step, given in beliefs.steps.items():
                self.steps[_name(step)].copy_(given)
            for stage, given in beliefs.spiking.items():
                self.spiking[stage].copy_(given)

    def _choices(self, drawn: PartGates, after: Tensor | float) -> Choices:
        space = self.space
        visited = reach(space, drawn.transitions)
        once: dict[str, Tensor] = {}
        share = torch.as_tensor(after, dtype=self.ops.dtype)
        for stage in reversed(tuple(drawn.spiking)):
            share = share * (1.0 - drawn.spiking[stage])
            once[stage] = share
        ops = dict(zip(space.pairs, drawn.ops.unbind(), strict=True))
        return Choices(
            edges={
                (node, source): drawn.edges[node][n]
                for node in range(space.nodes)
                for n, source in enumerate(space.sources(node))
            },
            ops=ops,
            each_op={pair: shares.unbind() for pair, shares in ops.items()},
            reach=visited,
            arrivals=arrivals(space, drawn.transitions, visited),
            spiking=drawn.spiking,
            once=once,
        )


def architectures(model: nn.Module) -> Iterator[tuple[str, PartArchitecture]]:
    """Yield the architectures of a relaxed network by module name, in the order of its parts."""
    yield from ((n, m) for n, m in model.named_modules() if isinstance(m, PartArchitecture))


def decide(model: nn.Module, *, sampled: bool | None = None) -> None:
    """Set what one forward pass of a relaxed network multiplies with, in all its parts.

    Args:
        model: relaxed network.
        sampled: whether to draw; as the parts were made, in training mode, unless given.
    """
    decide_parts([part for _, part in architectures(model)], sampled=sampled)


def decide_parts(parts: Sequence[PartArchitecture], *, sampled: bool | None = None) -> None:
    """Do so for the parts of a network in the order in which they run."""
    after: Tensor | float = 1.0
    for part in reversed(parts):
        after = part.decide(after, sampled=sampled)


def _scaled(beliefs: PartBeliefs, by: float) -> PartBeliefs:
    """Return sharper or softer beliefs."""
    if by == 1.0:
        return beliefs
    return replace(
        beliefs,
        edges=tuple(by * edge for edge in beliefs.edges),
        ops=by * beliefs.ops,
        steps={step: by * logits for step, logits in beliefs.steps.items()},
        spiking={stage: by * logit for stage, logit in beliefs.spiking.items()},
    )


def _logits(*shape: int) -> nn.Parameter:
    return nn.Parameter(SPREAD * torch.randn(shape))


def _name(step: Step) -> str:
    return f"{step[0]}_{step[1]}"
