"""Watch one run of a model: count its layers, neurons and arithmetic, list what has no rule."""

from collections import Counter as Tally
from collections.abc import Mapping, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from energy import neurons
from energy.errors import EnergyError
from energy.events import count_events
from energy.layers import LayerCounts
from energy.provenance import MOVES, SPIKES, TERNARY, VIEWS, ZEROS, Provenance, tensors_in
from energy.rules import RULES, Call, Operations, Synapses
from energy.rules.arithmetic import is_free, shape_of
from energy.tensor_map import TensorMap
from energy.work import Measured, measure, settle_steps

NO_ARITHMETIC = MOVES | ZEROS | {
    "__setitem__", "pad", "size", "dim", "numel", "new_empty", "empty", "empty_like", "arange",
    "new_full", "full", "ones", "new_ones", "is_contiguous", "stride", "requires_grad_", "__get__",
    "item", "is_floating_point", "data_ptr", "meshgrid", "numpy", "neg", "__neg__", "isnan",
    "__len__", "__bool__", "copy_", "fill_", "zero_", "logical_and", "logical_or", "logical_not",
    "__and__", "__or__", "__invert__", "any", "all", "ones_like", "full_like", "linspace", "tensor",
    "as_tensor", "from_numpy", "__array__", "tolist", "untyped_storage", "allclose", "equal",
}  # fmt: skip
"""Functions that only move, make or describe tensors; work in them is nobody's arithmetic."""


@dataclass(frozen=True, eq=False)
class _Place:
    """A module and its name in the model."""

    name: str
    module: nn.Module
    is_neuron: bool


@dataclass(eq=False)
class _Made:
    """A result of a layer with weights: who uses it decides whether a norm can be folded."""

    layer: LayerCounts
    users: int = 0
    norms: list[tuple[LayerCounts, Operations]] = field(default_factory=list)


class Counter:
    """Context in which a model's work is counted; leaves the model as it was.

    Args:
        model: the model to name layers after.
        strict: raise if a declared spike is not 0 or 1; otherwise warn.
        steps: time steps of the inputs.
        samples: independent inferences in the inputs.
    """

    def __init__(
        self, model: nn.Module, *, strict: bool = False, steps: int = 1, samples: int = 1
    ) -> None:
        self.model, self.strict, self.steps, self.samples = model, strict, steps, samples
        self.layers: dict[tuple[str, str, int], LayerCounts] = {}
        self.uncounted: Tally[tuple[str, str]] = Tally()
        self.uncounted_calls: Tally[tuple[str, str]] = Tally()
        self.warnings: list[str] = []
        self._provenance = Provenance()
        self._made: MutableMapping[Tensor, _Made] = TensorMap()
        self._names: Tally[str] = Tally()
        self._results: list[_Made] = []
        self._measured: list[tuple[LayerCounts, Measured]] = []
        self._fired: list[tuple[LayerCounts, int, Tensor]] = []
        self._path: list[_Place] = []
        self._watching = _Watch(self)
        self.inside_neuron = 0
        self._stack = ExitStack()

    def __enter__(self) -> "Counter":
        """Hook every module, for its name and for what it emits."""
        for name, module in self.model.named_modules():
            place = _Place(name, module, is_neuron=_is_neuron(module))
            enter = module.register_forward_pre_hook(self._entering(place))
            leave = module.register_forward_hook(self._leaving(place), always_call=True)
            self._stack.callback(enter.remove)
            self._stack.callback(leave.remove)
        self._stack.callback(self._watching.stop)
        self._watching.resume()
        return self

    def __exit__(self, *details: Any) -> None:
        """Remove every hook, whatever happened, and add up what was measured."""
        self._stack.close()
        if details[0] is None:
            self._settle()

    def watch(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        """Account for one call of a torch function."""
        call = Call(name, args, kwargs, out)
        self._use(call)
        work = RULES[name](call) if name in RULES else None
        if isinstance(work, Synapses):
            self._synapses(call, work)
            return
        if work is None:
            self._list(call)
        elif not is_free(call):
            self._operations(call, self._as_logic(call, work))
        self._provenance.follow(call)

    def _synapses(self, call: Call, work: Synapses) -> None:
        """Add one call of a layer with weights, or of a product of two activations."""
        layer = self._layer(call.name, 0 if work.weight is None else id(work.weight))
        layer.calls += 1
        layer.shape = work.shape
        layer.outputs += call.out.numel()
        layer.inputs += work.x.numel()
        layer.weights = 0 if work.weight is None else work.weight.numel()
        layer.biases, layer.fan_in, layer.fan_out = work.biases, work.fan_in, work.outputs
        layer.taps, layer.strides, layer.transposed = work.taps, work.strides, work.transposed
        layer.add += call.out.numel() if work.biases else 0
        x, other = work.origins or (work.x, work.partner)
        values = self._provenance.of(x)
        partner = None if other is None else self._provenance.of(other)
        found = self._provenance.sources(x)
        found |= frozenset() if other is None else self._provenance.sources(other)
        layer.sources = tuple(sorted({*layer.sources, *found}))
        self._measured.append((layer, measure(work, values, partner, self.steps, self.samples)))
        made = _Made(layer)
        self._results.append(made)
        self._made[call.out] = made

    def _as_logic(self, call: Call, work: Operations) -> Operations:
        """Return a product of two spike tensors as what it is, a logical AND."""
        operands = list(tensors_in(call.args[:2]))
        if not work.mul or work.add or len(operands) < 2:
            return work
        marks = [self._provenance.of(tensor) for tensor in operands]
        logical = all(mark is not None and mark.most <= 1 for mark in marks)
        return Operations(compare=work.mul) if logical else work

    def _operations(self, call: Call, work: Operations) -> None:
        """Add arithmetic whose amount is known from shapes."""
        layer = self._layer(call.name, 0)
        layer.calls += 1
        layer.shape = shape_of(call.out)
        layer.outputs += sum(t.numel() for t in tensors_in(call.out))
        layer.mac += work.mac
        layer.dense += work.mac
        layer.padded += work.mac
        layer.zero_skip += work.mac
        layer.weights = work.weights
        made = self._made.get(call.args[0]) if call.name == "batch_norm" and call.args else None
        if made is not None:
            made.norms.append((layer, work))
        else:
            _charge(layer, work)

    def _use(self, call: Call) -> None:
        """Follow results of layers through views, and count who else reads them."""
        for tensor in tensors_in(call.args[:1]):
            made = self._made.get(tensor)
            if made is None:
                continue
            if call.name in VIEWS:
                for view in tensors_in(call.out):
                    self._made[view] = made
            elif call.name not in ("size", "dim", "stride", "is_contiguous", "numel"):
                made.users += 1
        for tensor in tensors_in(call.args[1:]):
            made = self._made.get(tensor)
            if made is not None:
                made.users += 1

    def _settle(self) -> None:
        """Turn what was measured on a device into numbers, and fold the norms that can be."""
        calls: dict[int, list[Measured]] = {}
        for layer, measured in self._measured:
            calls.setdefault(id(layer), []).append(measured)
            strange = measured.add_to(layer)
            layer.contradictions += strange
            if strange:
                self._verify(layer.name)
        for layer in self.layers.values():
            settle_steps(layer, calls.get(id(layer), []), self.steps)
        self._measured.clear()
        for layer, add_per_spike, nonzero in self._fired:
            spikes = int(nonzero.sum())
            layer.fired += spikes
            layer.add += add_per_spike * spikes
        self._fired.clear()
        norms: dict[int, set[int]] = {}
        for made in self._results:
            norms.setdefault(id(made.layer), set()).update(id(norm) for norm, _ in made.norms)
        for made in self._results:
            for norm, work in made.norms:
                if made.users == 1 and len(norms[id(made.layer)]) == 1:
                    norm.folded_into = made.layer.name
                else:
                    _charge(norm, work)
        self._results.clear()

    def _layer(self, kind: str, weight: int) -> LayerCounts:
        path = self._path[-1].name if self._path else ""
        key = (path, kind, weight)
        if key not in self.layers:
            leaf = path and next(self._path[-1].module.children(), None) is None
            name = path if leaf else ".".join(part for part in (path, kind) if part)
            taken = self._names[name]
            self._names[name] += 1
            self.layers[key] = LayerCounts(
                name=name if not taken else f"{name}#{taken + 1}", kind=kind, path=path
            )
        return self.layers[key]

    def _verify(self, layer: str) -> None:
        """Values only confirm what structure says."""
        message = (
            f"The input of {layer} comes from a module that declares emits_spikes, but holds "
            "values other than those of spikes, their sums or products. Remove the declaration "
            "or mend the module."
        )
        if self.strict:
            raise EnergyError(message)
        if message not in self.warnings:
            self.warnings.append(message)

    def _list(self, call: Call) -> None:
        """List work that no rule covers, by function and layer."""
        elements = sum(t.numel() for t in tensors_in(call.out))
        if call.name in NO_ARITHMETIC or elements <= 1:
            return
        key = (call.name, self._path[-1].name if self._path else "")
        self.uncounted[key] += elements
        self.uncounted_calls[key] += 1

    def _entering(self, place: _Place) -> Any:
        def hook(_module: nn.Module, _args: object) -> None:
            self._path.append(place)
            if place.is_neuron:
                if not self.inside_neuron:
                    self._watching.pause()
                self.inside_neuron += 1

        return hook

    def _leaving(self, place: _Place) -> Any:
        def hook(module: nn.Module, _args: object, output: object) -> None:
            if not self._path or self._path[-1] is not place:
                return  # it failed before it was entered
            self._path.pop()
            if neurons.fires(module):
                ternary = getattr(module, "emits_spikes", True) == "ternary"
                self._provenance.mark(output, TERNARY if ternary else SPIKES, place.name)
            if not place.is_neuron:
                return
            self.inside_neuron -= 1
            if not self.inside_neuron:
                try:
                    if output is not None:  # None: it failed
                        self._neuron(place.name, module, output)
                finally:
                    self._watching.resume()

        return hook

    def _neuron(self, name: str, module: nn.Module, output: object) -> None:
        """Add the updates of a neuron, or list it if nothing is known of its type."""
        first = output[0] if isinstance(output, tuple) else output
        elements = sum(t.numel() for t in tensors_in(first))
        update = neurons.update_of(module)
        if update is None:
            unknown = (f"neuron update ({type(module).__name__})", name)
            self.uncounted[unknown] += elements
            self.uncounted_calls[unknown] += 1
            return
        key = (name, type(module).__name__, id(module))
        if key not in self.layers:
            self._names[name] += 1
            self.layers[key] = LayerCounts(name=name, kind=type(module).__name__, path=name)
        layer = self.layers[key]
        layer.calls += 1
        layer.shape = shape_of(first)
        layer.outputs += elements
        layer.updates += elements
        layer.states = update.states
        layer.mul += update.mul * elements
        layer.add += update.add * elements
        layer.compare += update.compare * elements
        if neurons.fires(module):
            with torch._C.DisableTorchFunction():  # or the counter would count itself
                for tensor in tensors_in(first):
                    count = count_events(tensor, (), rows=1, unit=None)
                    self._fired.append((layer, update.add_per_spike, count.nonzero))


class _Watch(TorchFunctionMode):
    """Hands every call of a torch function to a counter."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter
        self._paused = True

    def pause(self) -> None:
        """See no calls until ``resume``, at no cost; where other modes lie on top, see them."""
        if _get_current_function_mode() is self:  # type: ignore[no-untyped-call]
            self._paused = True
            self.__exit__(None, None, None)

    def resume(self) -> None:
        """See calls again."""
        if self._paused:
            self._paused = False
            self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """See no calls any more; a run may have ended within a neuron."""
        if not self._paused:
            self._paused = True
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one torch function and account for it."""
        kwargs = kwargs or {}
        if self._counter.inside_neuron:  # what it computes is known from its type
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        out = func(*args, **kwargs)
        self._counter.watch(name, args, kwargs, out)
        return out


def _charge(layer: LayerCounts, work: Operations) -> None:
    layer.add += work.add
    layer.mul += work.mul
    layer.compare += work.compare
    layer.special += work.special


def _is_neuron(module: nn.Module) -> bool:
    """A module that turns currents into spikes or potentials; an identity only declares them."""
    if isinstance(module, nn.Identity):
        return False
    return neurons.fires(module) or neurons.update_of(module) is not None


def run_counted(
    model: nn.Module, inputs: tuple[Any, ...], *, strict: bool, steps: int = 1, samples: int = 1
) -> Counter:
    """Run ``model(*inputs)`` once in eval mode without gradients and return what was counted."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), Counter(
            model, strict=strict, steps=steps, samples=samples
        ) as counter:  # fmt: skip
            model(*inputs)
    finally:
        for module, mode in modes:
            module.training = mode
    return counter
