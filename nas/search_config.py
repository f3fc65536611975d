"""The settings of a search and what is reported of it; light to import, as settings are."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

Row = dict[str, float]
"""What is reported of a step."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a search proceeds. Every field is validated.

    Attributes:
        steps: of the whole search.
        warmup: steps at its beginning in which only the weights move.
        rectified: the first of these, in which rectifiers learn in the place of neurons.
        optimizer: of the weights, ``sgd`` or ``adamw``.
        lr: step size of the weights at the beginning; falls to ``lr_min`` along half a cosine.
        lr_min: at the end.
        momentum: of SGD, or the first beta of AdamW.
        weight_decay: of the weights.
        clip: largest norm of the weights' gradient.
        loss_scale: factor of the loss while it is differentiated; for float16 only.
        arch_lr: step size of the architecture, with Adam.
        arch_betas: of Adam.
        arch_weight_decay: of the architecture.
        second_order: look through the next step of the weights.
        accumulate: micro-batches per half step.
        softness: of all choices at first; ``softness_last`` at the end.
        softness_last: closer to 0 is closer to a decision.
        entropy: weight of the mean entropy of the choices at the end, in units of the loss per nat.
        measure_every: steps of the architecture between two refreshes of the running counts.
        checkpoint_every: steps between two states that are kept; 0 for the last one only.
        seed: of all noise.

    Raises:
        ValueError: a field that makes no sense.
    """

    steps: int
    warmup: int = 0
    rectified: int = 0
    optimizer: str = "sgd"
    lr: float = 0.025
    lr_min: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    loss_scale: float = 1.0
    arch_lr: float = 1e-3
    arch_betas: tuple[float, float] = (0.9, 0.999)
    arch_weight_decay: float = 1e-3
    second_order: bool = False
    accumulate: int = 1
    softness: float = 1.0
    softness_last: float = 0.1
    entropy: float = 0.1
    measure_every: int = 20
    checkpoint_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = {
            "steps": self.steps < 1,
            "warmup": not 0 <= self.warmup <= self.steps,
            "rectified": not 0 <= self.rectified <= self.warmup,
            "optimizer": self.optimizer not in ("sgd", "adamw"),
            "lr": not 0 < self.lr < math.inf,
            "lr_min": not 0 <= self.lr_min <= self.lr,
            "momentum": not 0 <= self.momentum < 1,
            "weight_decay": not 0 <= self.weight_decay < math.inf,
            "clip": not self.clip > 0,
            "loss_scale": not 0 < self.loss_scale < math.inf,
            "arch_lr": not 0 < self.arch_lr < math.inf,
            "arch_betas": not all(0 <= beta < 1 for beta in self.arch_betas),
            "arch_weight_decay": not 0 <= self.arch_weight_decay < math.inf,
            "accumulate": self.accumulate < 1,
            "softness": not 0 < self.softness < math.inf,
            "softness_last": not 0 < self.softness_last <= self.softness,
            "entropy": not 0 <= self.entropy < math.inf,
            "measure_every": self.measure_every < 1,
            "checkpoint_every": self.checkpoint_every < 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(
                    f"SearchConfig.{name} cannot be {getattr(self, name)!r} "
                    f"(with steps={self.steps}, warmup={self.warmup}, lr={self.lr}, "
                    f"softness={self.softness})."
                )

    def learning_rate(self, step: int) -> float:
        """Return the step size of the weights: half a cosine from ``lr`` to ``lr_min``."""
        share = step / max(1, self.steps - 1)
        return self.lr_min + 0.5 * (self.lr - self.lr_min) * (1 + math.cos(math.pi * share))

    def identity(self) -> dict[str, Any]:
        """Return all fields that the course of a search depends on, as JSON has them."""
        fields = asdict(self)
        del fields["checkpoint_every"]
        return fields | {"arch_betas": list(self.arch_betas)}


@dataclass(frozen=True)
class SearchHistory:
    """What was reported of every step, from the first on, also where the search was resumed.

    Attributes:
        rows: a step each, with ``step``, ``training``, ``lr`` and ``seconds``; from the end of the
            warm-up on with ``held_out``, ``softness``, ``entropy`` and ``entropy/<name>``; with a
            budget also with ``cost`` (in its unit), ``multiplier`` and ``penalty``.
    """

    rows: list[Row] = field(default_factory=list)

    def column(self, name: str) -> list[float | None]:
        """Return one quantity over the steps; None where a step has none."""
        return [row.get(name) for row in self.rows]


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step: neighbours in either number share nothing (SplitMix64)."""
    mixed = ((seed + 1) * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> shift)) * factor % 2**64
    return mixed >> 1
