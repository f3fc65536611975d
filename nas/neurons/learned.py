"""Constants that can be learned and stay in their range."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

RANGES: dict[str, tuple[float, float]] = {
    "decay": (0.0, 1.0),
    "current_decay": (0.0, 1.0),
    "adaptation_decay": (0.0, 1.0),
    "threshold": (0.0, math.inf),
    "adaptation": (0.0, math.inf),
    "temperature": (0.0, math.inf),
}
"""Open interval that each constant of a neuron lies in."""


class Learned(nn.Module):
    """A constant that gradient descent moves inside an open interval.

    A bounded one is ``low + (high - low) sigmoid(raw)``, a half-bounded one ``low + exp(raw)``; so
    steps are relative where the constant is close to a border, and no clamping is needed.

    Args:
        value: where it starts, of ``shape`` or one for all.
        shape: of the values, which must broadcast against ``[C, ...]``: ``()`` one for the layer,
            ``(C, 1, 1)`` per channel of images, ``(C, H, W)`` per neuron.
        low: lower end, not included.
        high: upper end, not included; infinity for none.

    Raises:
        ValueError: a start that is not inside.
    """

    def __init__(
        self, value: float | Tensor, shape: tuple[int, ...], low: float, high: float
    ) -> None:
        super().__init__()
        start = torch.as_tensor(value, dtype=torch.float64).detach()
        if not ((low < start) & (start < high)).all():
            raise ValueError(f"A learned constant starts between {low} and {high}, got {value}.")
        self.low, self.high = low, high
        if math.isinf(high):
            raw = torch.log(start - low)
        else:
            raw = torch.logit((start - low) / (high - low))
        self.raw = nn.Parameter(raw.float().expand(shape or start.shape).clone())

    def forward(self) -> Tensor:
        """Return the values, of the shape given."""
        if math.isinf(self.high):
            return self.low + torch.exp(self.raw)
        return self.low + (self.high - self.low) * torch.sigmoid(self.raw)

    def extra_repr(self) -> str:
        """Show range and shape."""
        return f"({self.low}, {self.high}), shape={tuple(self.raw.shape)}"


def learned_constants(
    learn: Mapping[str, tuple[int, ...]], values: Mapping[str, float | Tensor]
) -> nn.ModuleDict:
    """Return the constants to be learned, each starting at its value.

    Args:
        learn: name to shape; see ``Learned``.
        values: where every constant of the neuron starts.

    Raises:
        ValueError: a name that the neuron does not have, or a start on the border of its range.
    """
    unknown = sorted(set(learn) - set(values))
    if unknown:
        raise ValueError(f"No such constants: {unknown}. This neuron has {sorted(values)}.")
    return nn.ModuleDict(
        {name: Learned(values[name], tuple(shape), *RANGES[name])
         for name, shape in learn.items()}
    )  # fmt: skip
