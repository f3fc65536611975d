"""Gradients of every spiking layer's own weights under any temperature, from one pass.

What enters a neuron and the gradient of the loss at its spikes do not depend on the neuron's own
temperature. So the model is run once, cut open at every neuron, and gone back through neuron by
neuron; a layer's weights are those that its current depends on without passing another neuron.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.bilevel import Loss
from nas.neurons import LIFParams, Neuron, scan
from nas.surrogate import Surrogate

Weights = dict[str, Tensor]
"""Some parameters of a model by name, or their gradients."""


@dataclass(eq=False)
class _Call:
    """One call of a neuron: what entered, the cut output, and the loss's gradient there."""

    name: str
    current: Tensor
    spikes: Tensor
    given: Tensor


class Pass:
    """One run of a model on a batch, cut open at its neurons.

    The model stays as it is: its running statistics are those of before.

    Args:
        model: whose neurons begin at rest in every forward pass.
        loss: of the model and the batch.
        batch: for it.
    """

    def __init__(self, model: nn.Module, loss: Loss, batch: Any) -> None:
        self._neurons = {n: m for n, m in model.named_modules() if isinstance(m, Neuron)}
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._calls: list[_Call] = []
        with self._cut():
            value = loss_with(model, loss, batch, {})
        leaves = [call.spikes for call in self._calls]
        self._add(leaves, _gradients(value, leaves, torch.ones_like(value)))
        for n in range(len(self._calls) - 1, 0, -1):
            call = self._calls[n]
            neuron = self._neurons[call.name]
            entering = _back(neuron, call, neuron.constants())
            self._add(leaves[:n], _gradients(call.current, leaves[:n], entering))

    @property
    def names(self) -> list[str]:
        """Names of the neurons that were called."""
        return list(dict.fromkeys(call.name for call in self._calls))

    def gradient(self, name: str, temperature: float | Tensor) -> Weights:
        """Return the gradient of the layer's own weights if it had this temperature.

        A temperature that requires gradients can be differentiated through.
        """
        neuron = self._neurons[name]
        now = neuron.constants()
        params = replace(now, surrogate=replace(now.surrogate, temperature=temperature))
        twice = isinstance(temperature, Tensor) and temperature.requires_grad
        names, parameters = list(self._parameters), list(self._parameters.values())
        total: Weights = {}
        for call in self._calls:
            if call.name != name:
                continue
            entering = _back(neuron, call, params, twice=twice)
            found = _gradients(call.current, parameters, entering, twice=twice)
            for parameter, gradient in zip(names, found, strict=True):
                if gradient is not None:
                    total[parameter] = total.get(parameter, 0.0) + gradient
        return total

    def _add(self, leaves: list[Tensor], found: tuple[Tensor | None, ...]) -> None:
        for call, leaf, gradient in zip(self._calls, leaves, found, strict=False):
            assert call.spikes is leaf
            if gradient is not None:
                call.given = call.given + gradient

    @contextmanager
    def _cut(self) -> Iterator[None]:
        """Record every call of a neuron, and hand on a copy of its spikes without history."""
        handles = []
        for name, neuron in self._neurons.items():

            def record(
                _: nn.Module, entered: tuple[Tensor, ...], out: Tensor, name: str = name
            ) -> Tensor:
                cut = out.detach().requires_grad_()
                self._calls.append(_Call(name, entered[0], cut, torch.zeros_like(out)))
                return cut

            handles.append(neuron.register_forward_hook(record))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def step_ahead(model: nn.Module, gradient: Weights, length: float) -> Weights:
    """Return a layer's weights one step down their gradient.

    The step's length is a share of the norm of the weights, so that a temperature is judged by the
    direction it gives and not by the size: the optimizer's step size is another matter.
    """
    weights = {name: model.get_parameter(name).detach() for name in gradient}
    size = torch.sqrt(sum((w.square().sum() for w in weights.values()), torch.zeros(())))
    slope = torch.sqrt(sum((g.square().sum() for g in gradient.values()), torch.zeros(())))
    scale = length * size / slope if slope > 0 else 0.0
    return {name: weights[name] - scale * gradient[name] for name in gradient}


def loss_with(model: nn.Module, loss: Loss, batch: Any, weights: Weights) -> Tensor:
    """Return the loss of a model with other weights; the model itself stays as it is."""
    wrapped = _WithLoss(model, loss)
    state = {f"model.{name}": tensor for name, tensor in weights.items()}
    # Copies, as batch norms change their running statistics in training mode.
    state |= {f"model.{name}": tensor.clone() for name, tensor in model.named_buffers()}
    return functional_call(wrapped, state, (batch,))  # type: ignore[no-any-return]


class _WithLoss(nn.Module):
    """A model and its loss as one module, whose weights can be replaced for a call."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)


def _back(neuron: Neuron, call: _Call, params: LIFParams, *, twice: bool = False) -> Tensor:
    """Return the gradient at the current of a call from that at its spikes."""
    current = call.current.detach().requires_grad_()
    with torch.enable_grad():
        if twice:  # the kernel can be differentiated once
            params = replace(params, surrogate=_slope_only(params.surrogate))
            spikes, _ = scan(type(neuron).step, current, None, params)
        else:
            spikes, _ = neuron.run(current, None, params)
    return torch.autograd.grad(spikes, current, call.given, create_graph=twice)[0]


def _slope_only(surrogate: Surrogate) -> Surrogate:
    """Return a surrogate whose temperature changes its slope and nothing else.

    Spikes do not depend on the temperature. Their derivative by it is an estimate to learn the
    temperature by; in the derivative of a gradient it would count a change that there is not.
    """
    kind = type(surrogate)
    unchanged = {"by_temperature": staticmethod(lambda v, _: torch.zeros_like(v))}
    slope_only: type[Surrogate] = type(f"{kind.__name__}Slope", (kind,), unchanged)
    return slope_only(surrogate.temperature)


def _gradients(
    value: Tensor, of: list[Any], given: Tensor, *, twice: bool = False
) -> tuple[Tensor | None, ...]:
    """Return gradients where there are any; the graph is kept."""
    if not of or not value.requires_grad:
        return (None,) * len(of)
    return torch.autograd.grad(
        value, of, given, allow_unused=True, retain_graph=True, create_graph=twice
    )
