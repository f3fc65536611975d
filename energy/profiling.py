"""The one call: run a model once and say what it cost."""

from typing import Any

from torch import Tensor, nn

from energy.counter import run_counted
from energy.errors import EnergyError
from energy.estimate import price, uncounted
from energy.report import EnergyReport
from energy.technology import technology as find_technology


def profile(
    model: nn.Module,
    *inputs: Any,
    technology: str = "45nm-fp32",
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
        technology: name in ``TECHNOLOGIES``.
        samples: independent inferences in the inputs; by default the size of the first input along
            the model's ``batch_dim`` (an attribute; 0 if it has none).
        steps: time steps; by default the first input's leading size if ``batch_dim`` is 1, else 1.
        strict: raise if a declared spike is not 0 or 1, instead of warning.

    Raises:
        EnergyError: no sample to average over, unknown technology, or (strict) false spikes.
    """
    prices = find_technology(technology)
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
    counter = run_counted(model, inputs, strict=strict)
    return EnergyReport(
        technology=prices,
        samples=samples,
        steps=steps,
        layers=tuple(price(t, prices, samples, steps) for t in counter.layers.values()),
        uncounted=uncounted(counter, samples),
        warnings=tuple(dict.fromkeys(counter.warnings)),
    )
