"""From one call of a layer with weights to counts: exact, in every convention at once."""

from dataclasses import dataclass, field

from torch import Tensor

from energy.events import EventCount, count_events
from energy.layers import LayerCounts
from energy.provenance import Values
from energy.rules.registry import Synapses


@dataclass(kw_only=True)
class Measured:
    """One call; event counts may still be on a device. Holds no input, so that it can be freed.

    Attributes:
        dense: synapses without taps on padding.
        padded: synapses with them.
        elements: of the input.
        outputs: channels that an input feeds.
        events: of the input, one row per time step or one in all.
        spiking: whether the input is spikes, counts or scaled spikes.
        steps: time steps in the call; 1 if it cannot be told.
        together: accumulates of a product of spikes with spikes, instead of those of ``events``.
        ac: accumulates of every time step, once added to a layer.
        mac: multiply-accumulates of every time step, likewise.
    """

    dense: int
    padded: int
    elements: int
    outputs: int
    events: EventCount
    spiking: bool
    steps: int
    together: Tensor | None = None
    ac: list[int] = field(default_factory=list)
    mac: list[int] = field(default_factory=list)

    def add_to(self, layer: LayerCounts) -> int:
        """Add to a layer; return how many input values contradict what is known of them."""
        layer.dense += self.dense
        layer.padded += self.padded
        rows = self.events.sums.tolist()
        layer.zero_skip += self.outputs * sum(events for _, events, _ in rows)
        if not self.spiking:
            layer.mac += self.dense
            self.ac, self.mac = [0] * self.steps, [self.dense // self.steps] * self.steps
            return 0
        if self.together is None:
            self.ac = [self.outputs * accumulates for _, _, accumulates in rows]
        else:
            self.ac = self.together.tolist()
        self.mac = [0] * self.steps
        nonzero = sum(row[0] for row in rows)
        layer.ac += sum(self.ac)
        layer.spikes += nonzero
        layer.spiking_inputs += self.elements
        layer.rate += nonzero / self.elements * self.padded if self.elements else 0.0
        return int(self.events.strange)


def measure(
    work: Synapses, values: Values | None, partner: Values | None, steps: int, samples: int
) -> Measured:
    """Count what comes into a layer.

    Args:
        work: the call.
        values: what is known of its input; None if analog.
        partner: what is known of the other factor of a product of two activations.
        steps: time steps of an inference, which a leading axis may run over.
        samples: independent inferences.
    """
    if values is None and partner is not None and work.partner is not None:
        work, values, partner = _other_way(work), partner, None
    rows = _rows(work, steps, samples)
    known = values or Values(unit=None)  # no unit: whatever is not zero is one event
    events = count_events(
        work.x, work.fans, rows=rows, unit=known.unit, most=known.most, signed=known.signed
    )  # fmt: skip
    together = None
    if values is not None and partner is not None and work.partner is not None:
        scale = (known.unit or 1.0) * (partner.unit or 1.0)
        together = (_meetings(work.x, work.partner, rows) / scale).round().long()
    return Measured(
        dense=work.dense(), padded=work.padded, elements=work.x.numel(), outputs=work.outputs,
        events=events, spiking=values is not None, steps=rows, together=together,
    )  # fmt: skip


def settle_steps(layer: LayerCounts, calls: list[Measured], steps: int) -> None:
    """Write the work of every time step, where it can be told.

    Either every call holds all steps, or a model that loops over time made as many calls for each.
    """
    if steps == 1 or not calls:
        return
    if all(call.steps == steps for call in calls):
        parts = [(call.ac, call.mac) for call in calls]
    elif all(call.steps == 1 for call in calls) and len(calls) % steps == 0:
        each = len(calls) // steps
        groups = [calls[n * each : (n + 1) * each] for n in range(steps)]
        sums = [(sum(sum(c.ac) for c in g), sum(sum(c.mac) for c in g)) for g in groups]
        parts = [([ac for ac, _ in sums], [mac for _, mac in sums])]
    else:
        return
    layer.ac_per_step = [
        float(sum(column)) for column in zip(*(ac for ac, _ in parts), strict=True)
    ]
    layer.mac_per_step = [
        float(sum(column)) for column in zip(*(mac for _, mac in parts), strict=True)
    ]


def _rows(work: Synapses, steps: int, samples: int) -> int:
    """Return the time steps that the leading axis runs over, outermost; 1 if it does not."""
    last = work.x.shape[-1] if work.x.ndim else 1
    leading = work.x.shape[0] if work.fans else work.x.numel() // max(1, last)
    over_time = steps > 1 and leading >= steps * samples and leading % (steps * samples) == 0
    return steps if over_time else 1


def _other_way(work: Synapses) -> Synapses:
    """Return a product seen from its second factor."""
    assert work.partner is not None
    return Synapses(
        x=work.partner, outputs=work.x.shape[-2], fans=(), shape=work.shape, padded=work.padded,
        biases=work.biases, fan_in=work.fan_in, partner=work.x,
    )  # fmt: skip


def _meetings(a: Tensor, b: Tensor, rows: int) -> Tensor:
    """Return ``[rows]``: products of two factors of ``[..., N, K]`` and ``[..., K, M]``."""
    pairs = a.double().abs().sum(-2) * b.double().abs().sum(-1)
    return pairs.reshape(rows, -1).sum(1)
