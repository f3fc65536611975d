r"""The architecture's gradient through the next step of the weights (second order).

With ``w'(a) = w + m(g(a))``, where ``g = grad_w L_train(w, a)`` and ``m`` is what the optimizer of
the weights makes of a gradient (its momentum, decay and clipping included),

    d/da L_val(w'(a), a) = grad_a L_val(w', a) + d . dg/da,    d = (dm/dg)^T grad_w' L_val(w', a).

For plain gradient descent ``d = -step * grad_w' L_val`` and this is equation 7 of DARTS (Liu et
al., ICLR 2019). Fused neurons can be differentiated once, so ``d . dg/da``, a product with second
derivatives, is a difference of two gradients at ``w + e d`` and ``w - e d`` (their equation 8).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

Evaluate = Callable[[Sequence[Tensor]], tuple[Tensor, list[Tensor | None]]]
"""Returns a loss and its gradients by the parameters given."""

RADIUS = 0.01
"""Length of ``e d``, as in DARTS: small beside the weights, large beside float32 rounding."""


def unrolled_gradients(
    model: nn.Module,
    architecture: Sequence[Tensor],
    weights: Optimizer,
    *,
    on_training: Evaluate,
    on_held_out: Evaluate,
    shorten: Callable[[Sequence[Tensor]], list[Tensor]] = list,
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the held-out loss after a virtual step of the weights, and the whole gradient.

    The model and the optimizer are left as they were, running statistics of norms included. All
    three evaluations on training data draw the same random numbers.

    Args:
        model: whose parameters both kinds are.
        architecture: parameters to differentiate by.
        weights: optimizer whose next step is looked through: SGD, Adam or AdamW.
        on_training: training loss of the model as it is.
        on_held_out: held-out loss of the model as it is.
        shorten: clips gradients, differentiably.

    Raises:
        ValueError: an optimizer whose step is not known here.
    """
    parameters = [p for group in weights.param_groups for p in group["params"]]
    noise = _Noise(parameters)
    with _restored(model):
        start = [p.detach().clone() for p in parameters]
        _, found = on_training(parameters)
        used = [n for n, gradient in enumerate(found) if gradient is not None]
        leaves = [g.detach().requires_grad_() for g in found if g is not None]
        with torch.enable_grad():
            moves = virtual_moves(weights, dict(zip(used, shorten(leaves), strict=True)))
        _place(parameters, start, {n: move.detach() for n, move in moves.items()}, 1.0)
        value, both = on_held_out([*architecture, *parameters])
        direct, after = both[: len(architecture)], both[len(architecture) :]
        direction = dict(zip(used, _chained(moves, leaves, after), strict=True))
        size = torch.nn.utils.get_total_norm(list(direction.values()))
        if not size > 0:
            return value, direct
        sides = []
        for length in (RADIUS / float(size), -RADIUS / float(size)):
            _place(parameters, start, direction, length)
            with noise.again():
                sides.append(on_training(architecture)[1])
    through = [
        None if plus is None or minus is None else (plus - minus) * (float(size) / (2 * RADIUS))
        for plus, minus in zip(*sides, strict=True)
    ]
    return value, [_plus(a, b) for a, b in zip(direct, through, strict=True)]


def virtual_moves(optimizer: Optimizer, gradients: dict[int, Tensor]) -> dict[int, Tensor]:
    """Return what the next step of an optimizer would add to its parameters.

    Args:
        optimizer: SGD, Adam or AdamW.
        gradients: by the number of the parameter over all groups; those without one do not move.

    Returns:
        The change of each, differentiable in the gradients.

    Raises:
        ValueError: another optimizer, or an option of it that is not known here.
    """
    rule = _sgd if isinstance(optimizer, SGD) else _adam if isinstance(optimizer, Adam) else None
    unknown = ("maximize", "amsgrad")
    options = sorted({name for g in optimizer.param_groups for name in unknown if g.get(name)})
    if rule is None or options:
        raise ValueError(
            f"The second order knows the steps of SGD, Adam and AdamW, without maximize and "
            f"amsgrad; got {type(optimizer).__name__}{options or ''}. Search in first order "
            f"or with one of these."
        )
    moves, number = {}, 0
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if number in gradients:
                state = optimizer.state.get(parameter, {})
                moves[number] = rule(group, state, parameter.detach(), gradients[number])
            number += 1
    return moves


def _sgd(group: dict[str, Any], state: dict[str, Any], p: Tensor, g: Tensor) -> Tensor:
    rate: float = group["lr"]
    g = g + group["weight_decay"] * p
    if group["momentum"]:
        before = state.get("momentum_buffer")
        buffer = g
        if before is not None:
            buffer = group["momentum"] * before + (1 - group["dampening"]) * g
        g = g + group["momentum"] * buffer if group["nesterov"] else buffer
    return -rate * g


def _adam(group: dict[str, Any], state: dict[str, Any], p: Tensor, g: Tensor) -> Tensor:
    first, second = group["betas"]
    rate: float = group["lr"]
    decoupled = bool(group.get("decoupled_weight_decay"))
    if not decoupled:
        g = g + group["weight_decay"] * p
    step = float(state.get("step", 0)) + 1
    mean = (1 - first) * g + first * state.get("exp_avg", torch.zeros_like(g))
    square = (1 - second) * g.square() + second * state.get("exp_avg_sq", torch.zeros_like(g))
    # The root has no derivative at zero; an entry that never had a gradient has none to give.
    root = square.clamp_min(torch.finfo(g.dtype).tiny).sqrt()
    scale = root / (1 - second**step) ** 0.5 + group["eps"]
    move: Tensor = -rate * mean / (1 - first**step) / scale
    return move - rate * group["weight_decay"] * p if decoupled else move


def _chained(
    moves: dict[int, Tensor], leaves: list[Tensor], after: Sequence[Tensor | None]
) -> list[Tensor]:
    """Return the held-out gradient at the moved weights, taken back through the moves."""
    pairs = [(move, after[n]) for n, move in moves.items() if after[n] is not None]
    if not pairs:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(
        [move for move, _ in pairs], leaves, [given for _, given in pairs], allow_unused=True
    )
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, found, strict=True)
    ]


@torch.no_grad()
def _place(
    parameters: Sequence[Tensor], start: Sequence[Tensor], by: dict[int, Tensor], length: float
) -> None:
    """Set parameters to their start and so many times the change from there."""
    for n, (parameter, at) in enumerate(zip(parameters, start, strict=True)):
        parameter.copy_(at if n not in by else at + length * by[n])


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Put back parameters and buffers, to the last bit, whatever happens in between."""
    tensors = [*model.parameters(), *model.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)


class _Noise:
    """The state of the random generators, to draw the same numbers again."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        devices = {p.device for p in parameters if p.device.type == "cuda"}
        self._devices = sorted(device.index for device in devices)
        self._cpu = torch.get_rng_state()
        self._cuda = [torch.cuda.get_rng_state(device) for device in self._devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw from the kept state on; what is drawn afterwards is as if this had not been."""
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self._cpu)
            for device, state in zip(self._devices, self._cuda, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


def _plus(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
