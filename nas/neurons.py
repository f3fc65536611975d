"""Neurons: a pure step that holds the equation, and a thin module that scans it over time.

Shapes: ``T`` time steps, ``B`` batch; a module takes and gives ``[T, B, ...]``, a step one time
step. State is an argument and a result, never an attribute.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nas.kernels import lif_backward, lif_forward
from nas.surrogate import Dspike, Surrogate, heaviside


@dataclass(frozen=True, kw_only=True)
class LIFParams:
    """Constants of a leaky integrate-and-fire neuron.

    Attributes:
        decay: share of the membrane that survives one time step, 0 to 1.
        threshold: membrane potential above which it fires, same unit as the input current.
        surrogate: slope of the spike in the backward pass.
    """

    decay: float = 0.2
    threshold: float = 0.5
    surrogate: Surrogate = field(default_factory=Dspike)

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        if not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"The decay of a LIF neuron lies in [0, 1], got {self.decay}.")


def lif_step(x: Tensor, state: Tensor | None, params: LIFParams) -> tuple[Tensor, Tensor]:
    r"""Advance leaky integrate-and-fire neurons by one time step.

    .. math::

        u_t = d\, v_{t-1} + x_t, \qquad s_t = H(u_t - V_{th}), \qquad v_t = u_t\,(1 - s_t)

    with decay :math:`d`, threshold :math:`V_{th}`, strict firing (:math:`u_t > V_{th}`) and a hard
    reset to zero through which the gradient flows.

    Args:
        x: input current, any shape.
        state: membrane after the reset, :math:`v_{t-1}`, same shape; None for a resting membrane.
        params: constants.

    Returns:
        Spikes in {0, 1} and the membrane :math:`v_t`, both of the shape of ``x``.

    Reference: SpikeDHS (Che et al., NeurIPS 2022), d = 0.2 and V_th = 0.5.
    """
    u = x if state is None else params.decay * state + x
    spikes = heaviside(u - params.threshold, params.surrogate)
    return spikes, u * (1.0 - spikes)


def lif_scan(x: Tensor, state: Tensor | None, params: LIFParams) -> tuple[Tensor, Tensor | None]:
    """Run ``lif_step`` over ``x`` ``[T, ...]``; return spikes ``[T, ...]`` and the last state."""
    spikes = []
    for current in x:
        fired, state = lif_step(current, state, params)
        spikes.append(fired)
    return (torch.stack(spikes) if spikes else torch.zeros_like(x)), state


class LIF(nn.Module):
    """Leaky integrate-and-fire neurons; see ``lif_step`` for the equation.

    Args:
        params: constants, those of SpikeDHS unless given.
    """

    emits_spikes = True

    def __init__(self, params: LIFParams | None = None) -> None:
        super().__init__()
        self.params = params or LIFParams()

    def forward(self, x: Tensor) -> Tensor:
        """Return the spikes ``[T, B, ...]`` of neurons at rest that receive ``x`` ``[T, B, ...]``.

        Uses the fused kernel where it applies (float32 on the CPU), else the reference.
        """
        fused = x.device.type == "cpu" and x.dtype == torch.float32
        if fused and isinstance(self.params.surrogate, Dspike):
            return fused_lif(x, self.params)
        return lif_scan(x, None, self.params)[0]

    def scan(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return spikes ``[T, B, ...]`` and the state ``[B, ...]`` that comes after them."""
        return lif_scan(x, state, self.params)

    def extra_repr(self) -> str:
        """Show the constants."""
        return f"decay={self.params.decay}, threshold={self.params.threshold}"


class Analog(nn.Module):
    """The analog counterpart of a neuron: a rectifier without memory or spikes."""

    emits_spikes = False

    def forward(self, x: Tensor) -> Tensor:
        """Return ``max(x, 0)``, any shape."""
        return torch.relu(x)


NEURONS: dict[str, Callable[[LIFParams], nn.Module]] = {"lif": LIF, "relu": lambda _: Analog()}
"""Neurons by the name that a genotype uses; each takes the constants of its node."""


class _FusedLIF(torch.autograd.Function):
    """The Numba kernels as one differentiable operation on ``[T, N]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, params: LIFParams) -> Tensor:
        ctx.save_for_backward(x)
        ctx.params = params
        spikes = torch.empty_like(x)
        lif_forward(x.detach().numpy(), params.decay, params.threshold, spikes.numpy())
        return spikes

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        params: LIFParams = ctx.params
        grad_x = torch.empty_like(x)
        lif_backward(
            x.detach().numpy(),
            grads[0].contiguous().numpy(),
            params.decay,
            params.threshold,
            params.surrogate.temperature,  # type: ignore[attr-defined]
            grad_x.numpy(),
        )
        return grad_x, None


def fused_lif(x: Tensor, params: LIFParams) -> Tensor:
    """Return what ``lif_scan`` returns from rest, by the fused kernel.

    Args:
        x: ``[T, B, ...]`` float32 on the CPU, any strides.
        params: constants; the surrogate must be Dspike.

    Returns:
        Spikes of the same shape, in the memory order of ``x``.
    """
    if x.numel() == 0:
        return torch.zeros_like(x)
    # Neurons are independent, so any order will do: take the one the memory has (channels last).
    order = [0, *sorted(range(1, x.ndim), key=x.stride, reverse=True)]
    ordered = x.permute(order)
    flat = ordered.reshape(x.shape[0], -1).contiguous()
    spikes: Tensor = _FusedLIF.apply(flat, params)  # type: ignore[no-untyped-call]
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return spikes.view(ordered.shape).permute(inverse)
