"""The one call: run a model once and say what it cost."""

from typing import Any

from torch import Tensor, nn

from energy.conventions import conventions
from energy.counter import run_counted
from energy.errors import EnergyError
from energy.estimate import price, uncounted
from energy.layers import LayerCounts
from energy.report import EnergyReport, environment, split
from energy.technology import technology as find_technology


def profile(
    model: nn.Module,
    *inputs: Any,
    technology: str = "45nm-fp32",
    memory: str | None = None,
    samples: int | None = None,
    steps: int | None = None,
    strict: bool = False,
) -> EnergyReport:
    """Run ``model(*inputs)`` once and return its energy per inference, layer by layer.

    The model runs in eval mode without gradients and is left as it was. Counts are summed over
    time steps and calls, and averaged over the samples of the batch.

    Args:
        model: spiking, analog or hybrid; its modules that emit spikes say so with the class
            attribute ``emits_spikes = True``.
        inputs: what it is called with.
        technology: name in ``TECHNOLOGIES``, or a TOML file.
        memory: name of a memory model; None leaves memory out.
        samples: independent inferences in the inputs; by default the size of the first input along
            the model's ``batch_dim`` (an attribute; 0 if it has none).
        steps: time steps; by default the first input's leading size if ``batch_dim`` is 1, else 1.
        strict: raise if a declared spike is not 0 or 1, instead of warning.

    Raises:
        EnergyError: no sample to average over, unknown technology or memory model, or (strict)
            false spikes.
    """
    prices = find_technology(technology)
    samples, steps = inference_size(model, inputs, samples, steps)
    counter = run_counted(model, inputs, strict=strict, steps=steps, samples=samples)
    counts = tuple(counter.layers.values())
    layers, others = split([
        price(layer, prices, samples=samples, steps=steps_of(layer, steps), memory=memory)
        for layer in counts
    ])  # fmt: skip
    return EnergyReport(
        technology=prices,
        samples=samples,
        steps=steps,
        layers=layers,
        others=others,
        uncounted=uncounted(counter, samples),
        warnings=tuple(counter.warnings),
        counts=counts,
        conventions=conventions(counts, prices, samples),
        memory=memory,
        environment=environment(),
    )


def steps_of(layer: LayerCounts, steps: int) -> int | None:
    """Return the time steps that a layer ran in: 1 behind the readout, None if it cannot be told.

    Args:
        layer: its counts.
        steps: of an inference.
    """
    if not layer.dense or layer.ac_per_step:
        return steps
    return 1 if steps == 1 or layer.calls == 1 else None


def inference_size(
    model: nn.Module, inputs: tuple[Any, ...], samples: int | None, steps: int | None
) -> tuple[int, int]:
    """Return samples and time steps of inputs, as far as they are not given.

    Args:
        model: its attribute ``batch_dim`` says which axis counts samples; 1 means time comes first.
        inputs: what it is called with.
        samples: None to read it off the first tensor.
        steps: None for those that the model says in an attribute ``time_steps``, as one that shows
            a static input several times does; otherwise likewise.

    Raises:
        EnergyError: none of either.
    """
    if steps is None:
        steps = getattr(model, "time_steps", None)
    first = next((x for x in inputs if isinstance(x, Tensor)), None)
    batch_dim = int(getattr(model, "batch_dim", 0))
    if samples is None:
        samples = 1 if first is None or first.ndim <= batch_dim else first.shape[batch_dim]
    if steps is None:
        steps = first.shape[0] if first is not None and batch_dim == 1 else 1
    if samples < 1 or steps < 1:
        raise EnergyError(
            f"Energy per inference needs at least one sample and one step, got {samples} and "
            f"{steps}; give inputs that are not empty, or samples= and steps=."
        )
    return samples, steps
