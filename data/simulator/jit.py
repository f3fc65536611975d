"""How the kernels of the adaptive engine are compiled."""

from typing import Any

KERNEL: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    # A division by zero gives infinity, as in IEEE 754, instead of a branch that no vector has.
    "error_model": "numpy",
    # Arrays that are passed on are not counted: the kernels allocate none, and counting took ten
    # times longer than what a pixel does (187 against 19 ns per step).
    "_nrt": False,
}
"""Options of ``numba.njit`` for functions that allocate nothing. No fast math: see the kernels."""

INLINED: dict[str, Any] = {**KERNEL, "forceinline": True}
"""The same for what the inner loops call."""

ALLOCATING: dict[str, Any] = {**KERNEL, "_nrt": True}
"""The same for functions that make an array."""
