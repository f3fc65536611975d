"""What one layer did in a run, in counts; and what it costs per inference, in microjoules.

Between the two stand only prices (``energy.estimate``), so a report can be priced again without
running the model.
"""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class LayerCounts:
    """Totals of one layer over all its calls, all samples and all time steps.

    Synaptic work, in the four conventions (``energy/README.md``):

    Attributes:
        name: path of the module, or of the function in it.
        kind: torch function, or the class of a neuron.
        shape: of the output of one call.
        calls: of the function.
        ac: accumulates caused by spikes, counts and scaled spikes: exact, taps on padding left out.
        mac: multiply-accumulates of analog inputs: dense, taps on padding left out.
        dense: synapses, dense, taps on padding left out, whatever the input is.
        padded: synapses, dense, taps on padding included, as most tools count.
        rate: mean firing rate of every call's input times its ``padded``, summed; 0 if analog.
        zero_skip: synapses whose input is not zero, whatever the input is.
        spikes: inputs that are not zero, of calls whose inputs are spikes.
        inputs: elements of the inputs.
        spiking_inputs: those of calls whose inputs are spikes.
        outputs: elements of the outputs.

    Other arithmetic, in scalar operations:

    Attributes:
        add: additions and subtractions, those of a bias too.
        mul: multiplications.
        compare: comparisons and choices (threshold, maximum, rectification).
        special: divisions, roots and exponential functions: no price is published with the others.

    Of neurons:

    Attributes:
        updates: neurons times time steps; 0 for what is no neuron.
        states: state variables of one neuron.
        fired: spikes that it sent.

    What memory models need:

    Attributes:
        weights: elements of the weight, of one call.
        biases: elements of the bias.
        taps: kernel taps per axis; empty for what is no convolution.
        strides: steps between outputs per axis.
        fan_in: synapses of one output.
        fan_out: output channels that one input feeds.
        transposed: whether the convolution is a transposed one.

    Over time:

    Attributes:
        ac_per_step: accumulates of every time step; empty where a call's time cannot be told.
        mac_per_step: multiply-accumulates of every time step, likewise.
        folded_into: layer whose weights absorb this one at no cost; empty if none.

    Where it comes from:

    Attributes:
        path: of the module that it ran in.
        sources: paths of the modules whose spikes came in.
        contradictions: input values that spikes cannot have.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    calls: int = 0

    ac: int = 0
    mac: int = 0
    dense: int = 0
    padded: int = 0
    rate: float = 0.0
    zero_skip: int = 0
    spikes: int = 0
    inputs: int = 0
    spiking_inputs: int = 0
    outputs: int = 0

    add: int = 0
    mul: int = 0
    compare: int = 0
    special: int = 0

    updates: int = 0
    states: int = 0
    fired: int = 0

    weights: int = 0
    biases: int = 0
    taps: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    fan_in: int = 0
    fan_out: int = 0
    transposed: bool = False

    ac_per_step: list[float] = field(default_factory=list)
    mac_per_step: list[float] = field(default_factory=list)
    folded_into: str = ""

    path: str = ""
    sources: tuple[str, ...] = ()
    contradictions: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerEnergy:
    """One layer of one inference: summed over time steps and calls, mean over the samples.

    Attributes:
        name: path of the module, or of the function in it.
        kind: torch function, or the class of a neuron.
        shape: of the output of one call.
        steps: time steps that it ran in, 1 for a layer after the readout; None if unknown.
        ac: accumulates.
        mac: multiply-accumulates.
        dense: multiply-accumulates of the same layer run densely, taps on padding left out.
        firing_rate: share of the inputs that are spikes; None for an analog input.
        spikes_per_synapse: accumulates over the dense operations of one time step; None for an
            analog input.
        neuron_ops: additions, multiplications and comparisons of neurons.
        other_ops: additions, multiplications and comparisons of anything else but synapses.
        special_ops: divisions, roots and exponential functions, which have no price.
        energy_uj: of the synapses, microjoules: the sum of these is the report's total.
        neuron_uj: of ``neuron_ops``.
        other_uj: of ``other_ops``.
        memory_uj: of memory accesses; None without a memory model.
        breakeven: spikes per synapse below which the layer is cheaper than its analog twin.
        ac_per_step: accumulates of every time step, empty if unknown.
        mac_per_step: multiply-accumulates of every time step, empty if unknown.
        folded_into: layer whose weights absorb this one at no cost; empty if none.
        fan_in: synapses of one output; 0 for what has none.
        unpriced_ops: those of ``neuron_ops`` and ``other_ops`` that the technology has no price
            for, so that they are not in ``neuron_uj`` and ``other_uj``.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    steps: int | None
    ac: float
    mac: float
    dense: float
    firing_rate: float | None
    spikes_per_synapse: float | None
    neuron_ops: float
    other_ops: float
    special_ops: float
    energy_uj: float
    neuron_uj: float
    other_uj: float
    memory_uj: float | None
    breakeven: float | None
    ac_per_step: tuple[float, ...] = ()
    mac_per_step: tuple[float, ...] = ()
    folded_into: str = ""
    unpriced_ops: float = 0.0
    fan_in: int = 0
