"""Prices: picojoules per operation and per memory access, with the source of every number.

A technology is one TOML file: those in ``energy/technologies/``, or a user's own. Digital logic has
prices per addition and multiplication; a neuromorphic chip has one price per synaptic operation,
memory and routing included, and one per neuron update.
"""

import math
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from energy.errors import EnergyError

T = TypeVar("T")

PRICES = ("add_pj", "mul_pj", "compare_pj", "ac_pj", "mac_pj", "update_pj")
"""Every price of an operation that a file may give; what others follow from comes first."""

KINDS = {str: "text", int: "a whole number", dict: "a table", list: "a list"}
"""Types of a TOML file in words."""

EXAMPLES = {
    "name": 'name = "my-chip"',
    "precision": 'precision = "int8"',
    "bits": "bits = 8",
    "notes": 'notes = "Weights of 8 bits, sums of 32."',
    "sources": '[sources]\nmine = "Me, My chip, 2026, table 1"',
    "prices": '[prices]\nadd_pj = { value = 0.03, source = "mine" }',
    "price": '{ value = 0.03, source = "mine" }',
    "memory": "[memory]\nsram_access_bits = 64",
    "sram": 'sram = [{ kib = 8, pj = 10.0, source = "mine" }]',
    "dram": 'dram = { pj = 1300.0, source = "mine" }',
    "access_bits": "sram_access_bits = 64",
}
"""How each part of a file is written, for messages."""


@dataclass(frozen=True, kw_only=True)
class MemoryPrices:
    """Energy of memory accesses.

    Attributes:
        sram: ``(size in KiB, picojoules per access)``, from small to large. What is larger than
            the last one is in DRAM.
        sram_access_bits: bits that one of these accesses moves.
        dram_pj: one access to external memory, picojoules.
        dram_access_bits: bits that it moves.
    """

    sram: tuple[tuple[float, float], ...]
    sram_access_bits: int
    dram_pj: float
    dram_access_bits: int

    def __post_init__(self) -> None:
        """Refuse prices that fall as the memory grows."""
        numbers = [number for point in self.sram for number in point]
        for number in (*numbers, self.sram_access_bits, self.dram_pj, self.dram_access_bits):
            if not (math.isfinite(number) and number > 0):
                raise EnergyError(
                    f"Sizes, widths and prices of memories are positive and finite, got {number}. "
                    f"Example: {EXAMPLES['sram']}"
                )
        ordered = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(self.sram))
        if not self.sram or not ordered:
            raise EnergyError(
                "SRAM sizes go from small to large, at least one, and a larger one costs no less; "
                f"got {list(self.sram)} (KiB, pJ)."
            )
        largest = self.sram[-1][1] / self.sram_access_bits
        external = self.dram_pj / self.dram_access_bits
        if external < largest:
            raise EnergyError(
                f"A bit from DRAM ({external:.3g} pJ) costs no less than one from the largest SRAM "
                f"({largest:.3g} pJ). Check dram, dram_access_bits and sram_access_bits."
            )


@dataclass(frozen=True, kw_only=True)
class Technology:
    """Energy per operation; None where no price is known, which is never taken for zero.

    Attributes:
        name: how it is asked for.
        ac_pj: one accumulate (an addition, or a chip's synaptic operation), picojoules.
        mac_pj: one multiply-accumulate (a multiplication and an addition); None on a chip that
            has no price for it: an analog layer cannot be priced there.
        precision: of weights and sums, in words.
        source: where the numbers stand, all of them in one line.
        bits: of a weight, an activation and a potential; None where no memory is priced.
        add_pj: one addition or subtraction.
        mul_pj: one multiplication.
        compare_pj: one comparison; by default that of ``add_pj``, since comparing two numbers
            takes one subtraction.
        update_pj: one update of one neuron, everything in it included: a chip's price, which
            then stands for the additions, multiplications and comparisons of neurons.
        memory: prices of memory accesses; None where they are not known or, as on the chips,
            already inside ``ac_pj`` and ``update_pj``.
        sources: ``(price, source)`` for every number.
        notes: what a reader must know before using the numbers.
    """

    name: str
    ac_pj: float
    precision: str
    source: str
    mac_pj: float | None = None
    bits: int | None = None
    add_pj: float | None = None
    mul_pj: float | None = None
    compare_pj: float | None = None
    update_pj: float | None = None
    memory: MemoryPrices | None = None
    sources: tuple[tuple[str, str], ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        """Refuse prices that are no prices, or that contradict each other."""
        for field in PRICES:
            price = getattr(self, field)
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise EnergyError(
                    f"{field} of {self.name!r} is {price}; a price is a finite number of "
                    f"picojoules, not below 0. Example: {field} = {EXAMPLES['price']}"
                )
        if self.compare_pj is None:
            object.__setattr__(self, "compare_pj", self.add_pj)
        if self.bits is not None and self.bits < 1:
            raise EnergyError(f"bits of {self.name!r} is {self.bits}; expected at least 1.")
        if self.memory is not None and self.bits is None:
            raise EnergyError(
                f"{self.name!r} has prices of memory but not the bits of a number. "
                f"Example: {EXAMPLES['bits']}"
            )
        self._agree("ac_pj", self.add_pj)
        if self.add_pj is not None and self.mul_pj is not None:
            self._agree("mac_pj", self.add_pj + self.mul_pj)

    def _agree(self, field: str, derived: float | None) -> None:
        given = getattr(self, field)
        if derived is None or (given is not None and math.isclose(given, derived, rel_tol=1e-9)):
            return
        raise EnergyError(
            f"{field} of {self.name!r} is {given}, but its addition and multiplication make "
            f"{derived:.6g}. Leave {field} out, or give prices that agree."
        )

    def need_mac_pj(self, layer: str) -> float:
        """Return the price of a multiply-accumulate, for the analog layer of that name.

        Raises:
            EnergyError: the technology has none.
        """
        if self.mac_pj is None:
            raise EnergyError(
                f"{self.name!r} has no published price of a multiply-accumulate, and {layer!r} is "
                "analog. Choose a technology that has one (45nm-int8), price the spiking part "
                "alone, or copy its file, add mac_pj with its source, and give the file's path."
            )
        return self.mac_pj


def technology(name: str) -> Technology:
    """Return the technology of that name, or of a TOML file.

    Args:
        name: in ``TECHNOLOGIES``; or a path that ends in ``.toml``.

    Raises:
        EnergyError: there is none, or the file is not as ``energy/technologies/`` shows.
    """
    if name.endswith(".toml"):
        return load_technology(Path(name).expanduser())
    if name not in TECHNOLOGIES:
        raise EnergyError(
            f"Unknown technology {name!r}; known: {', '.join(TECHNOLOGIES)}; or give the path of "
            "a file that ends in .toml."
        )
    return TECHNOLOGIES[name]


def load_technology(path: Path) -> Technology:
    """Read a technology from a TOML file.

    Raises:
        EnergyError: the file is missing, is no TOML, or has an unknown, missing or wrong key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EnergyError(
            f"Cannot read the technology file {path}: {error}. Give an existing TOML file, or one "
            "of the names of energy.TECHNOLOGIES."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise EnergyError(f"{path} is not TOML: {error}.") from error
    try:
        return _technology(document)
    except EnergyError as error:
        raise EnergyError(f"{path}: {error}") from error


def _technology(document: dict[str, object]) -> Technology:
    _only(document, ("name", "precision", "bits", "notes", "sources", "prices", "memory"), "file")
    known = {k: _typed(v, k, str, "sources") for k, v in _table(document, "sources").items()}
    prices, sources = _prices(_table(document, "prices"), known)
    memory = None
    if "memory" in document:
        memory, of_memory = _memory(_table(document, "memory"), known)
        sources |= of_memory
    return Technology(
        name=_typed(_need(document, "name"), "name", str),
        precision=_typed(_need(document, "precision"), "precision", str),
        bits=_typed(document["bits"], "bits", int) if "bits" in document else None,
        notes=" ".join(_typed(document.get("notes", ""), "notes", str).split()),
        ac_pj=prices["ac_pj"],
        mac_pj=prices.get("mac_pj"),
        add_pj=prices.get("add_pj"),
        mul_pj=prices.get("mul_pj"),
        compare_pj=prices.get("compare_pj"),
        update_pj=prices.get("update_pj"),
        memory=memory,
        source="; ".join(dict.fromkeys(sources.values())),
        sources=tuple(sources.items()),
    )


def _prices(
    table: dict[str, object], known: dict[str, str]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return prices and their sources; accumulates follow from additions where these are given."""
    _only(table, PRICES, "prices")
    prices, sources = {}, {}
    for key, value in table.items():
        entry = _typed(value, key, dict, "price")
        _only(entry, ("value", "source"), key)
        prices[key] = _number(_need(entry, "value", "price"), f"{key}.value", "price")
        sources[key] = _source(entry, key, known)
    if "add_pj" in prices:
        add = prices["add_pj"]
        prices.setdefault("ac_pj", add)
        if "mul_pj" in prices:
            # Twelve digits: 0.9 + 3.7 is to be the published 4.6, not its float neighbor.
            prices.setdefault("mac_pj", float(f"{add + prices['mul_pj']:.12g}"))
    if "ac_pj" not in prices:
        raise EnergyError(
            "[prices] has neither add_pj nor ac_pj, so that no accumulate can be priced. "
            f"Example: {EXAMPLES['prices']}"
        )
    return prices, sources


def _memory(table: dict[str, object], known: dict[str, str]) -> tuple[MemoryPrices, dict[str, str]]:
    _only(table, ("sram", "sram_access_bits", "dram", "dram_access_bits"), "memory")
    points, sources = [], {}
    for value in _typed(_need(table, "sram"), "sram", list):
        entry = _typed(value, "sram", dict)
        _only(entry, ("kib", "pj", "source"), "sram")
        kib = _number(_need(entry, "kib", "sram"), "sram.kib", "sram")
        points.append((kib, _number(_need(entry, "pj", "sram"), "sram.pj", "sram")))
        sources[f"sram {kib:g} KiB"] = _source(entry, "sram", known)
    dram = _typed(_need(table, "dram"), "dram", dict)
    _only(dram, ("pj", "source"), "dram")
    sources["dram"] = _source(dram, "dram", known)
    widths = {
        key: _typed(_need(table, key, "access_bits"), key, int, "access_bits")
        for key in ("sram_access_bits", "dram_access_bits")
    }
    memory = MemoryPrices(
        sram=tuple(points), dram_pj=_number(_need(dram, "pj", "dram"), "dram.pj", "dram"), **widths
    )
    return memory, sources


def _only(table: dict[str, object], allowed: tuple[str, ...], where: str) -> None:
    unknown = [key for key in table if key not in allowed]
    if unknown:
        raise EnergyError(
            f"Unknown key {unknown[0]!r} in {where}; expected one of {', '.join(allowed)}."
        )


def _need(table: dict[str, object], key: str, example: str = "") -> object:
    if key not in table:
        raise EnergyError(f"The key {key!r} is missing. Example: {EXAMPLES[example or key]}")
    return table[key]


def _table(table: dict[str, object], key: str) -> dict[str, object]:
    return _typed(_need(table, key), key, dict)


def _typed(value: object, key: str, kind: type[T], example: str = "") -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise EnergyError(
            f"{key} is {value!r}; expected {KINDS[kind]}. Example: {EXAMPLES[example or key]}"
        )
    return value


def _number(value: object, key: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EnergyError(f"{key} is {value!r}; expected a number. Example: {EXAMPLES[example]}")
    return float(value)


def _source(entry: dict[str, object], key: str, known: dict[str, str]) -> str:
    name = _typed(_need(entry, "source", "price"), f"{key}.source", str, "price")
    if name not in known:
        raise EnergyError(
            f"{key} names the source {name!r}, which [sources] does not have; it has "
            f"{', '.join(known) or 'nothing'}. Example: {EXAMPLES['sources']}"
        )
    return known[name]


FOLDER = Path(__file__).with_name("technologies")
"""Where the shipped files are."""

TECHNOLOGIES = {found.name: found for found in map(load_technology, sorted(FOLDER.glob("*.toml")))}
"""The technologies that come with the package, by name."""
