"""The equations: one pure step per neuron type, and the loop over time that is the reference.

Shapes: a step sees one time step ``[B, ...]``, a scan ``[T, B, ...]``. Constants are numbers, or
tensors that broadcast against ``[B, ...]``: one per layer ``[]``, per channel ``[C, 1, 1]`` or per
neuron ``[C, H, W]``. State is an argument and a result, never an attribute; None is a membrane at
rest. Symbols: ``d`` decay, ``V_th`` threshold, ``H`` the hard step (strict: at the threshold a
neuron does not fire), ``s`` spikes, ``R`` the reset:

    hard   v_t = u_t (1 - s_t)
    soft   v_t = u_t - V_th s_t
    none   v_t = u_t
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor

from nas.surrogate import Dspike, Surrogate, heaviside

Reset = Literal["hard", "soft", "none"]
State = Tensor | tuple[Tensor, ...] | None
Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class LIFParams:
    """Constants of a leaky integrate-and-fire neuron.

    Attributes:
        decay: share of the membrane that survives one time step, 0 to 1; 1 makes it an integrator.
        threshold: membrane potential above which it fires, same unit as the input current.
        surrogate: slope of the spike in the backward pass.
        reset: what a spike does to the membrane.
        detach_reset: True to let no gradient through the reset.
        scale_input: True for the leaky integrator, whose input is scaled by ``1 - decay``.
    """

    decay: float | Tensor = 0.2
    threshold: float | Tensor = 0.5
    surrogate: Surrogate = field(default_factory=Dspike)
    reset: Reset = "hard"
    detach_reset: bool = False
    scale_input: bool = False

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        for constant in fields(self):
            value = getattr(self, constant.name)
            if "decay" in constant.name and not isinstance(value, Tensor) and not 0 <= value <= 1:
                raise ValueError(f"The {constant.name} of a neuron lies in [0, 1], got {value}.")
        if self.reset not in ("hard", "soft", "none"):
            raise ValueError(f"A reset is 'hard', 'soft' or 'none', got {self.reset!r}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class ALIFParams(LIFParams):
    """Constants of a neuron whose threshold rises with its own spikes.

    Attributes:
        adaptation: by how much one spike raises the threshold.
        adaptation_decay: share of the rise that survives one time step, 0 to 1.
    """

    adaptation: float | Tensor = 0.07
    adaptation_decay: float | Tensor = 0.317


@dataclass(frozen=True, kw_only=True, eq=False)
class CurrentLIFParams(LIFParams):
    """Constants of a neuron whose synapses filter their input.

    Attributes:
        current_decay: share of the synaptic current that survives one time step, 0 to 1.
    """

    current_decay: float | Tensor = 0.5


def lif_step(x: Tensor, state: Tensor | None, params: LIFParams) -> tuple[Tensor, Tensor]:
    r"""Advance leaky integrate-and-fire neurons by one time step.

    .. math::

        u_t = d\, v_{t-1} + x_t, \qquad s_t = H(u_t - V_{th}), \qquad v_t = R(u_t, s_t)

    with :math:`(1 - d)\,x_t` in place of :math:`x_t` if ``scale_input``. ``d = 1`` is the
    integrate-and-fire neuron (IF), a learned ``d`` the parametric one (PLIF, Fang et al., ICCV
    2021). By default the reset is hard, to zero, and the gradient flows through it.

    Args:
        x: input current, any shape.
        state: membrane after the reset, :math:`v_{t-1}`, same shape; None for a resting membrane.
        params: constants.

    Returns:
        Spikes in {0, 1} and the membrane :math:`v_t`, both of the shape of ``x``.

    Reference: SpikeDHS (Che et al., NeurIPS 2022), d = 0.2 and V_th = 0.5, hard reset.
    """
    v = torch.zeros_like(x) if state is None else state
    u, threshold, _ = lif_membrane(x, v, None, params)
    spikes = heaviside(u - threshold, params.surrogate)
    return spikes, lif_settle(u, threshold, spikes, None, params)[0]


def alif_step(
    x: Tensor, state: tuple[Tensor, Tensor] | None, params: ALIFParams
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""Advance neurons with an adaptive threshold by one time step.

    .. math::

        u_t = d\, v_{t-1} + x_t, \qquad s_t = H(u_t - V_{th} - \beta a_{t-1}),

        v_t = R(u_t, s_t), \qquad a_t = \rho\, a_{t-1} + s_t

    with the adaptation :math:`\beta` and its decay :math:`\rho`. A soft reset subtracts the
    threshold that was crossed.

    Args:
        x: input current, any shape.
        state: membrane and adaptation :math:`(v_{t-1}, a_{t-1})`; None for a neuron at rest.
        params: constants.

    Returns:
        Spikes and the state :math:`(v_t, a_t)`.

    Reference: Bellec et al., NeurIPS 2018; beta = 0.07 and rho = exp(-1 / 0.87) as in SpikingEDN.
    """
    v, a = state or (torch.zeros_like(x), torch.zeros_like(x))
    u, threshold, _ = alif_membrane(x, v, a, params)
    spikes = heaviside(u - threshold, params.surrogate)
    return spikes, alif_settle(u, threshold, spikes, a, params)


def current_lif_step(
    x: Tensor, state: tuple[Tensor, Tensor] | None, params: CurrentLIFParams
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    r"""Advance current-based neurons by one time step.

    .. math::

        i_t = c\, i_{t-1} + x_t, \qquad u_t = d\, v_{t-1} + i_t, \qquad s_t = H(u_t - V_{th}),
        \qquad v_t = R(u_t, s_t)

    with the decay :math:`c` of the synaptic current.

    Args:
        x: input to the synapses, any shape.
        state: membrane and current :math:`(v_{t-1}, i_{t-1})`; None for a neuron at rest.
        params: constants.

    Returns:
        Spikes and the state :math:`(v_t, i_t)`.

    Reference: Gerstner and Kistler, Spiking Neuron Models, 2002, section 4.1.
    """
    v, i = state or (torch.zeros_like(x), torch.zeros_like(x))
    u, threshold, i = current_membrane(x, v, i, params)
    spikes = heaviside(u - threshold, params.surrogate)
    return spikes, current_settle(u, threshold, spikes, i, params)


def integrator_step(x: Tensor, state: Tensor | None, params: LIFParams) -> tuple[Tensor, Tensor]:
    r"""Advance leaky integrators that never fire: :math:`v_t = d\, v_{t-1} + x_t`, the readout.

    With :math:`(1 - d)\,x_t` in place of :math:`x_t` if ``scale_input``. Threshold, surrogate and
    reset are not used.

    Returns:
        The membrane :math:`v_t`, twice: as output and as state.
    """
    v = _leak(torch.zeros_like(x) if state is None else state, x, params)
    return v, v


# The two halves of each step, before and after firing, over which neuron types are mixed
# (`nas.temporal`): (x, v, further state) -> u, threshold, further state; then -> v, further state.


def lif_membrane(
    x: Tensor, v: Tensor, more: None, params: LIFParams
) -> tuple[Tensor, Tensor, None]:
    """Return membrane before firing and threshold of ``lif_step``."""
    return _leak(v, x, params), _constant(params.threshold, x), more


def lif_settle(
    u: Tensor, threshold: Tensor, spikes: Tensor, more: None, params: LIFParams
) -> tuple[Tensor, None]:
    """Return the membrane after firing of ``lif_step``."""
    return _reset(u, threshold, spikes, params), more


def alif_membrane(
    x: Tensor, v: Tensor, a: Tensor, params: ALIFParams
) -> tuple[Tensor, Tensor, Tensor]:
    """Return membrane before firing, threshold and adaptation of ``alif_step``."""
    threshold = _constant(params.threshold, x) + _constant(params.adaptation, x) * a
    return _leak(v, x, params), threshold, a


def alif_settle(
    u: Tensor, threshold: Tensor, spikes: Tensor, a: Tensor, params: ALIFParams
) -> tuple[Tensor, Tensor]:
    """Return membrane and adaptation after firing of ``alif_step``."""
    a = _constant(params.adaptation_decay, u) * a + spikes
    return _reset(u, threshold, spikes, params), a


def current_membrane(
    x: Tensor, v: Tensor, i: Tensor, params: CurrentLIFParams
) -> tuple[Tensor, Tensor, Tensor]:
    """Return membrane before firing, threshold and synaptic current of ``current_lif_step``."""
    i = _constant(params.current_decay, x) * i + x
    return _leak(v, i, params), _constant(params.threshold, x), i


def current_settle(
    u: Tensor, threshold: Tensor, spikes: Tensor, i: Tensor, params: CurrentLIFParams
) -> tuple[Tensor, Tensor]:
    """Return membrane and synaptic current after firing of ``current_lif_step``."""
    return _reset(u, threshold, spikes, params), i


def scan(step: Step, x: Tensor, state: State, params: LIFParams) -> tuple[Tensor, State]:
    """Run a step over ``x`` ``[T, B, ...]``; return the outputs ``[T, B, ...]`` and the last state.

    Half-precision input is computed in float32; spikes come back in the type of the input, the
    state in float32.
    """
    outputs = []
    for current in x.float() if x.dtype in (torch.float16, torch.bfloat16) else x:
        out, state = step(current, state, params)
        outputs.append(out)
    return (torch.stack(outputs).to(x.dtype) if outputs else torch.zeros_like(x)), state


def _constant(value: float | Tensor, x: Tensor) -> Tensor:
    """Return a constant in the type of the input, so that numbers and tensors round alike."""
    return torch.as_tensor(value, dtype=x.dtype, device=x.device)


def _leak(v: Tensor, x: Tensor, params: LIFParams) -> Tensor:
    """Return the membrane before firing."""
    d = _constant(params.decay, x)
    return d * v + ((1 - d) * x if params.scale_input else x)


def _reset(u: Tensor, threshold: Tensor, spikes: Tensor, params: LIFParams) -> Tensor:
    """Return the membrane after the reset."""
    by = spikes.detach() if params.detach_reset else spikes
    if params.reset == "hard":
        return u * (1 - by)
    if params.reset == "soft":
        return u - threshold * by
    return u
