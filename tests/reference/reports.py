"""Reports made by hand and by chance: no model, no counter, no prices but those given."""

import random
from html.parser import HTMLParser

from hypothesis import strategies as st

from energy import Technology
from energy.conventions import conventions
from energy.estimate import Uncounted
from energy.layers import LayerCounts, LayerEnergy
from energy.report import EnergyReport

PRICES = Technology(
    name="test-fp32", ac_pj=0.9, mac_pj=4.6, precision="fp32", source='A & B, "Prices" <2014>'
)
INT8 = Technology(name="test-int8", ac_pj=0.03, mac_pj=0.23, precision="int8", source="C, 2014")
ENVIRONMENT = {"python": "3", "torch": "2", "numba": "0", "platform": "p", "date": "2026-01-01"}


def layer(name, *, ac=0, mac=0, dense=None, steps=4, kind="conv2d", technology=PRICES, **others):
    """Return a row; what is not given follows from the counts."""
    dense = (mac or 4 * ac) if dense is None else dense
    values = {
        "shape": (2, 3, 5),
        "firing_rate": ac / dense if ac else None,
        "spikes_per_synapse": ac * steps / dense if ac else None,
        "breakeven": technology.mac_pj / technology.ac_pj if ac else None,
        "neuron_ops": 0,
        "other_ops": 0,
        "special_ops": 0,
        "neuron_uj": 0.0,
        "other_uj": 0.0,
        "memory_uj": None,
        "ac_per_step": tuple(ac / steps for _ in range(steps)) if ac else (),
        "mac_per_step": (),
    }
    energy_uj = (ac * technology.ac_pj + mac * technology.mac_pj) * 1e-6
    return LayerEnergy(
        name=name, kind=kind, steps=steps, ac=ac, mac=mac, dense=dense, energy_uj=energy_uj,
        **values | others,
    )  # fmt: skip


def neuron(name, ops=1000, kind="LIF", **others):
    return layer(name, kind=kind, neuron_ops=ops, neuron_uj=ops * 0.9e-6, **others)


def counts_of(row, samples=1):
    """Return counts from which the row could come."""
    spiking = row.firing_rate is not None
    return LayerCounts(
        name=row.name, kind=row.kind, shape=row.shape, calls=row.steps or 1,
        ac=int(row.ac * samples), mac=int(row.mac * samples), dense=int(row.dense * samples),
        padded=int(row.dense * samples), rate=row.ac * samples * 1.1,
        zero_skip=int((row.ac or row.mac) * samples), spikes=3 if spiking else 0, inputs=10,
        spiking_inputs=10 if spiking else 0, ac_per_step=[n * samples for n in row.ac_per_step],
        updates=10 if row.neuron_ops else 0, add=int(row.neuron_ops + row.other_ops) * samples,
        folded_into=row.folded_into,
    )  # fmt: skip


def report(*layers, samples=1, steps=4, technology=PRICES, with_counts=True, **others):
    counts = tuple(counts_of(row, samples) for row in layers) if with_counts else ()
    values = {
        "uncounted": (Uncounted(op="grid_sample", layer="warp", elements=12345.0, calls=2),),
        "environment": ENVIRONMENT,
        "counts": counts,
        "conventions": conventions(counts, technology, samples),
    }
    return EnergyReport(
        technology=technology, samples=samples, steps=steps, layers=layers, **values | others
    )


def typical(count=60, seed=0, **others):
    """Return a report of a hybrid with ``count`` layers, neurons, arithmetic and folded norms."""
    chance = random.Random(seed)
    rows = []
    for index in range(count):
        name = f"features.cells.{index // 6}.nodes.{index % 6}.edges.0.convolution"
        dense = int(10 ** chance.uniform(4, 9))
        if index % 7:
            rows.append(layer(name, ac=dense // chance.randint(2, 200) + 1, dense=dense))
            rows.append(neuron(f"features.cells.{index}.neuron"))
        else:
            rows.append(layer(name, mac=dense))
    for kind in ("add", "mul", "relu", "softmax", "interpolate", "amax", "sub", "truediv", "div"):
        ops = chance.randint(10, 10**6)
        rows.append(layer(kind, kind=kind, other_ops=ops, other_uj=ops * 0.9e-6, special_ops=3))
    rows += [layer(f"norm{i}", kind="batch_norm", folded_into=f"conv{i}") for i in range(12)]
    return report(*rows, **others)


# What a name may hold: markup of the console, of Markdown and of HTML, line breaks, wide letters.
NAMES = st.one_of(
    st.text(max_size=90),
    st.text(alphabet='ab.[]/<>&"|*_`\\\n\r\t,;=深度é\u200b', min_size=1, max_size=120),
)
COUNTS = st.one_of(st.integers(0, 10**15), st.floats(0, 1e15))
ENERGIES = st.floats(0, 1e12)
SHARES = st.floats(0, 1)


def _rows_by_chance():
    spiking = {"firing_rate": SHARES, "spikes_per_synapse": st.floats(0, 1e4)}
    common = {
        "name": NAMES, "kind": st.one_of(st.just("conv_transpose3d"), NAMES),
        "shape": st.lists(st.integers(0, 4096), max_size=5).map(tuple),
        "steps": st.none() | st.integers(1, 1000),
        "ac": COUNTS, "mac": COUNTS, "dense": COUNTS, "neuron_ops": COUNTS, "other_ops": COUNTS,
        "special_ops": COUNTS, "energy_uj": ENERGIES, "neuron_uj": ENERGIES, "other_uj": ENERGIES,
        "memory_uj": st.none() | ENERGIES, "breakeven": st.none() | st.floats(0, 1e6),
        "ac_per_step": st.lists(st.floats(0, 1e12), max_size=6).map(tuple),
        "mac_per_step": st.lists(st.floats(0, 1e12), max_size=6).map(tuple),
        "folded_into": st.just("") | NAMES,
    }  # fmt: skip
    analog = dict.fromkeys(spiking, st.none())
    return st.one_of(*(st.fixed_dictionaries(common | kind) for kind in (spiking, analog)))


def parts_by_chance():
    """Return what ``report_by_chance`` makes a report of.

    The report is made in the test: the check of types draws chance numbers of its own, which
    Hypothesis forbids while it draws.
    """
    return st.tuples(
        st.lists(_rows_by_chance(), max_size=5), st.integers(1, 9), NAMES, st.none() | ENERGIES
    )


def report_by_chance(parts):
    rows, samples, text, spread = parts
    return report(
        *(LayerEnergy(**row) for row in rows), samples=samples, memory=text or None,
        warnings=(text,), spread_mj=spread, environment={"platform": text},
    )  # fmt: skip


class Page(HTMLParser):
    """Reads a page and refuses what is not well formed or would load something."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})
    LOADING = frozenset({"src", "href", "srcset", "action", "data", "poster", "xlink:href"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.loads = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.tags.append(tag)
        self.loads += [(tag, name) for name in names if name in self.LOADING]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)
