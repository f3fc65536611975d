"""Neurons as modules: constants, some of them learned, and the choice between kernel and reference.

Shapes: a module takes and gives ``[T, B, ...]``. It remembers nothing between calls: ``forward``
begins at rest, ``scan`` takes a state and returns the next. In a stream neurons remember, if they
are asked to (``nas.neurons.memory``).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from nas.fused.cuda import HAS_TRITON
from nas.fused.op import fused_scan
from nas.fused.slope_kernels import KINDS
from nas.neurons.learned import learned_constants
from nas.neurons.steps import (
    ALIFParams,
    CurrentLIFParams,
    LIFParams,
    State,
    alif_membrane,
    alif_settle,
    alif_step,
    current_lif_step,
    current_membrane,
    current_settle,
    integrator_step,
    lif_membrane,
    lif_settle,
    lif_step,
    scan,
)  # fmt: skip

Backend = Literal["auto", "kernel", "reference"]
FUSED_TYPES = (torch.float32, torch.float16, torch.bfloat16)


class Neuron(nn.Module):
    """What all neurons with a membrane share.

    Args:
        params: constants; those of the type unless given.
        learn: constants to learn, name to shape: ``{"decay": (64, 1, 1)}`` learns one decay per
            channel; see ``nas.neurons.learned.Learned``. ``temperature`` is the surrogate's.
        backend: "kernel" fuses all time steps (CPU, and CUDA with triton; float32, float16,
            bfloat16), "reference" is the step in a loop, which runs anywhere and can be
            differentiated twice; "auto" takes the kernel where it applies.

    Raises:
        ValueError: an unknown constant, a start outside its range, an unknown backend.
    """

    emits_spikes: ClassVar[bool] = True
    params_type: ClassVar[type[LIFParams]] = LIFParams
    step: ClassVar[Callable[..., Any]]
    membrane: ClassVar[Callable[..., Any]]
    settle: ClassVar[Callable[..., Any]]
    states: ClassVar[tuple[str, ...]] = ("membrane",)
    """What the state is made of, in the order of the step's state."""
    remembers: bool = False
    """Whether a call goes on from where the last one ended."""
    held: State = None
    """Where it ended; None for neurons at rest."""

    def __init__(
        self,
        params: LIFParams | None = None,
        *,
        learn: Mapping[str, tuple[int, ...]] | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        if backend not in ("auto", "kernel", "reference"):
            raise ValueError(f"A backend is 'auto', 'kernel' or 'reference', got {backend!r}.")
        self.params = self.default() if params is None else params
        self.backend = backend
        self.learned = learned_constants(learn or {}, _constants(self.params))
        self.temperature: Tensor | None
        self.register_buffer("temperature", None)

    @classmethod
    def default(cls) -> LIFParams:
        """Return the constants of the type."""
        return cls.params_type()

    def set_temperature(self, value: float | Tensor) -> None:
        """Give the surrogate another temperature; from now on it is part of the state dict.

        Raises:
            ValueError: the temperature is learned, or not positive and finite.
        """
        if "temperature" in self.learned:
            raise ValueError("This neuron learns its temperature by gradient; it cannot be set.")
        found = torch.as_tensor(value, dtype=torch.float32).detach().clone()
        if not ((found > 0) & torch.isfinite(found)).all():
            raise ValueError(f"A temperature is positive and finite, got {value}.")
        self.temperature = found

    def constants(self) -> LIFParams:
        """Return the constants as they are now, learned and searched ones included."""
        if not self.learned and self.temperature is None:
            return self.params
        now = {name: constant() for name, constant in self.learned.items()}
        temperature = now.pop("temperature", self.temperature)
        if temperature is not None:
            now["surrogate"] = replace(self.params.surrogate, temperature=temperature)
        return replace(self.params, **now)

    @property
    def update_ops(self) -> dict[str, int]:
        """Scalar operations of one neuron in one time step, for an account of energy.

        Read off the equations of ``nas.neurons.steps``; a decay of one multiplies nothing.
        """
        fires, leaks = type(self).emits_spikes, "decay" in self.learned or self._leaks()
        current, adaptive = "current" in self.states, "adaptation" in self.states
        return {
            "mul": leaks + current + 2 * adaptive + self.params.scale_input,
            "add": 1 + current + adaptive,
            "compare": int(fires),
            "add_per_spike": fires * (self.params.reset == "soft") + adaptive,
            "states": len(self.states),
        }

    def _leaks(self) -> bool:
        decay = self.params.decay
        return bool((decay != 1).any()) if isinstance(decay, Tensor) else decay != 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs ``[T, B, ...]`` of neurons that receive ``x``.

        They begin at rest, or where the last call ended if they remember.
        """
        out, after = self.scan(x, self.held)
        if self.remembers:
            self.held = after
        return out

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return outputs ``[T, B, ...]`` and the state ``[B, ...]`` that comes after them.

        A stream is scanned window by window with the state handed on.
        """
        return self.run(x, state, self.constants())

    def run(self, x: Tensor, state: State, params: LIFParams) -> tuple[Tensor, State]:
        """Return what ``scan`` returns, with other constants."""
        if self._fuses(x, params):
            return self._fused(x, state, params)
        if self.backend == "kernel":
            raise ValueError(
                f"The kernel takes float32, float16 and bfloat16 on the CPU, and on a CUDA device "
                f"where triton is installed, with constants of one sample's shape; "
                f"got {x.dtype} on {x.device}. Use backend='auto'."
            )
        return scan(type(self).step, x, state, params)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **named: Any
    ) -> None:
        """Make room for a searched temperature, which a neuron has only after a search."""
        found = state_dict.get(f"{prefix}temperature")
        if found is not None and self.temperature is None:
            self.temperature = torch.ones_like(found)
        super()._load_from_state_dict(state_dict, prefix, *rest, **named)

    def _fuses(self, x: Tensor, params: LIFParams) -> bool:
        """Whether the kernel computes this."""
        if self.backend == "reference" or x.dtype not in FUSED_TYPES:
            return False
        if x.device.type != "cpu" and not (x.is_cuda and HAS_TRITON):
            return False
        if x.ndim < 2 or x.numel() == 0 or params.surrogate.name not in KINDS:
            return False
        shape = x.shape[2:]
        for value in _constants(params).values():
            if isinstance(value, Tensor) and not _fits(value.shape, shape):
                return False
        # torch.func differentiates through torch operations only.
        return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is None

    def _fused(self, x: Tensor, state: State, params: LIFParams) -> tuple[Tensor, State]:
        parts = state if isinstance(state, tuple) else (state,) * (state is not None)
        given = dict(zip(self.states, parts, strict=False))
        constants = {"current_decay": 0.0, "adaptation": 0.0, "adaptation_decay": 0.0}
        constants |= _constants(params)
        values = {n: _placed(c, x.device) for n, c in constants.items()}
        out, (v, i, a) = fused_scan(
            x, (given.get("membrane"), given.get("current"), given.get("adaptation")), values,
            adaptive="adaptation" in self.states, current="current" in self.states,
            fires=self.emits_spikes, reset=params.reset, scale_input=params.scale_input,
            detach=params.detach_reset, surrogate=params.surrogate.name,
        )  # fmt: skip
        ended = {"membrane": v, "current": i, "adaptation": a}
        after = tuple(ended[name] for name in self.states)
        return out, after if len(after) > 1 else after[0]

    def extra_repr(self) -> str:
        """Show the constants."""
        shown = {k: v for k, v in _constants(self.params).items() if k not in self.learned}
        return ", ".join(f"{name}={value}" for name, value in shown.items())


class LIF(Neuron):
    """Leaky integrate-and-fire neurons; see ``lif_step`` for the equation.

    The constants of SpikeDHS unless given.
    """

    step = staticmethod(lif_step)
    membrane = staticmethod(lif_membrane)
    settle = staticmethod(lif_settle)


class IF(LIF):
    """Integrate-and-fire neurons: ``lif_step`` without leak."""

    @classmethod
    def default(cls) -> LIFParams:
        """Return the constants of the type."""
        return LIFParams(decay=1.0, threshold=1.0)


class LeakyIntegratorLIF(LIF):
    """LIF as a leaky integrator: input scaled by ``1 - decay``, soft reset."""

    @classmethod
    def default(cls) -> LIFParams:
        """Return the constants of the type."""
        return LIFParams(decay=0.5, threshold=1.0, reset="soft", scale_input=True)


class PLIF(LIF):
    """Parametric LIF: a leaky integrator with hard reset whose decay is learned, one per layer.

    Reference: Fang et al., ICCV 2021; they learn ``1 / tau = 1 - decay`` through a sigmoid.
    """

    def __init__(
        self,
        params: LIFParams | None = None,
        *,
        learn: Mapping[str, tuple[int, ...]] | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(params, learn={"decay": ()} | dict(learn or {}), backend=backend)

    @classmethod
    def default(cls) -> LIFParams:
        """Return the constants of the type."""
        return LIFParams(decay=0.5, threshold=1.0, scale_input=True)


class ALIF(Neuron):
    """Neurons with an adaptive threshold; see ``alif_step`` for the equation."""

    params_type = ALIFParams
    step = staticmethod(alif_step)
    membrane = staticmethod(alif_membrane)
    settle = staticmethod(alif_settle)
    states = ("membrane", "adaptation")


class CurrentLIF(Neuron):
    """Current-based neurons; see ``current_lif_step`` for the equation."""

    params_type = CurrentLIFParams
    step = staticmethod(current_lif_step)
    membrane = staticmethod(current_membrane)
    settle = staticmethod(current_settle)
    states = ("membrane", "current")


class Integrator(Neuron):
    """Leaky integrators that never fire, for readout; see ``integrator_step``."""

    emits_spikes = False
    step = staticmethod(integrator_step)


class Analog(nn.Module):
    """The analog counterpart of a neuron: a rectifier without memory or spikes.

    Attributes:
        stands_for_spikes: whether it learns in the place of a neuron, and is charged as one.
    """

    emits_spikes = False
    stands_for_spikes = False

    def forward(self, x: Tensor) -> Tensor:
        """Return ``max(x, 0)``, any shape."""
        return torch.relu(x)


def _placed(value: float | Tensor, device: torch.device) -> Tensor:
    """Return a constant as a tensor: a number on the CPU, where a kernel can read it at once."""
    if isinstance(value, Tensor):
        return value.to(device, torch.float32)
    return torch.tensor(value, dtype=torch.float32)


def _fits(size: torch.Size, shape: torch.Size) -> bool:
    """Whether constants of this size are one value, or broadcast to one sample."""
    if size.numel() == 1:
        return True
    ends = zip(reversed(size), reversed(shape), strict=False)
    return len(size) <= len(shape) and all(a in (1, b) for a, b in ends)


def _constants(params: LIFParams) -> dict[str, Any]:
    """Return the numbers and tensors of a neuron by name, the surrogate's temperature included."""
    named = {f.name: getattr(params, f.name) for f in fields(params)}
    flags = {"surrogate", "reset", "detach_reset", "scale_input"}
    numbers = {name: value for name, value in named.items() if name not in flags}
    return numbers | {"temperature": params.surrogate.temperature}
