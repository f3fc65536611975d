"""Events: what the elements of a tensor cause in the layer that reads them, counted exactly.

An element that is not zero is an event. It reaches as many synapses of one output channel as its
position has fan-out, a product of one number per spatial axis (``energy.fans``). An event that
stands for ``k`` spikes costs ``k`` accumulates per synapse.

The tensor is read once, in whatever order it lies in memory, by ``event_kernels`` on the CPU and by
``triton_kernels`` on CUDA devices, where the results stay: nobody waits for the device before they
are read. ``device_events`` does the same with torch alone, for what is rare.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from energy import device_events, event_kernels
from energy.errors import EnergyError
from energy.event_tables import LARGEST, Tables, tables_of, tables_of_bits
from energy.event_threads import share
from energy.event_values import Declared, declare
from energy.fans import Fan

I64 = npt.NDArray[np.int64]

SIGN = 1 << 31
"""The bit of a float32 that a zero may have."""

BYTES = (torch.uint8, torch.int8, torch.bool)


@dataclass(frozen=True)
class EventCount:
    """Sums of each row; integers of 64 bits on the tensor's device, perhaps still on their way.

    Attributes:
        sums: ``[rows, 3]``, the three columns below.
        strange: elements that contradict the declaration, of all rows.
    """

    sums: Tensor
    strange: Tensor | int = 0

    @property
    def nonzero(self) -> Tensor:
        """``[rows]`` elements that are not zero."""
        return self.sums[:, 0]

    @property
    def events(self) -> Tensor:
        """``[rows]`` their fan-out, summed."""
        return self.sums[:, 1]

    @property
    def accumulates(self) -> Tensor:
        """``[rows]`` fan-out times the number of units that the element is.

        Of what contradicts the declaration, fan-out once.
        """
        return self.sums[:, 2]


def count_events(
    x: Tensor,
    fans: tuple[Fan, ...],
    *,
    rows: int,
    unit: float | Tensor | None = 1.0,
    most: int | None = 1,
    signed: bool = False,
) -> EventCount:
    """Count the events of ``x`` in one pass.

    Values are declared to be ``0, unit, 2 unit, .. most unit``; where the unit is not 1, up to a
    few roundings of their type. What is not as declared is reported, and costs one accumulate.

    Args:
        x: ``[N, C, *S]``, or ``[..., C]`` without fans; any type, strides and device. What lies in
            memory densely, channels first or last, is read in place, anything else copied.
        fans: fan-out of each position, one table per axis of ``S``.
        rows: groups of ``N / rows`` consecutive entries (without fans: of all leading axes as one)
            which are summed apart: time steps, or samples.
        unit: value of one spike, or one per channel: anything that broadcasts to ``x[0]``. None
            declares nothing: any value is one event.
        most: largest multiple; None for no limit but 2**22, up to which floats tell them apart.
        signed: whether negative multiples are allowed.

    Raises:
        EnergyError: sizes that do not fit each other, ``most`` below 1, an infinite unit.
    """
    _check(x, fans, rows)
    x = x.detach()
    declared = declare(x, unit, most, signed)
    if x.numel() == 0:
        return EventCount(torch.zeros(rows, 3, dtype=torch.int64, device=x.device))
    if x.device.type != "cpu":
        return EventCount(*device_events.count(declared, fans, rows))
    found = _count_here(declared, fans, rows)
    return found or EventCount(*device_events.count_with_torch(declared, fans, rows))


def count_events_of_bits(
    packed: Tensor, fans: tuple[Fan, ...], *, rows: int, width: int
) -> EventCount:
    """Count the events of spikes packed eight to a byte along the last axis, on the CPU.

    Args:
        packed: ``[N, C, *S]`` bytes, the last axis ``ceil(width / 8)`` of them, as ``np.packbits``
            packs: the first element is the highest bit. Bits that fill up the last byte are
            ignored.
        fans: fan-out of each position, one table per axis of ``S``, the last of ``width`` elements.
        rows: groups of ``N / rows`` consecutive entries, which are summed apart.
        width: elements of the last axis.

    Raises:
        EnergyError: not bytes in the memory of the CPU, or sizes that do not fit each other.
    """
    if packed.dtype != torch.uint8 or packed.device.type != "cpu" or packed.ndim < 3:
        raise EnergyError(
            f"Packed spikes are uint8 [N, C, .., bytes] in the memory of the CPU, got "
            f"{packed.dtype} {tuple(packed.shape)} on {packed.device}."
        )
    if packed.shape[-1] != -(-width // 8):
        raise EnergyError(f"{width} bits are {-(-width // 8)} bytes, got {packed.shape[-1]}.")
    _check(packed[..., :1].expand(*packed.shape[:-1], width), fans, rows)
    if packed.numel() == 0:
        return EventCount(torch.zeros(rows, 3, dtype=torch.int64))
    tables = tables_of_bits(fans)
    if tables is None:
        bits = np.unpackbits(packed.numpy(), axis=-1, count=width)
        return count_events(torch.from_numpy(bits), fans, rows=rows)
    memory = packed.reshape(-1).numpy()
    row_size, line = memory.size // rows, tables.tables.shape[1] // 8

    def work(first: int, stop: int, sums: I64) -> None:
        event_kernels.sum_bits(memory, tables.tables, tables.plan, row_size, first, stop, 8, sums)

    sums, _ = share(work, rows * -(-row_size // line), rows, memory.nbytes)
    return EventCount(torch.from_numpy(sums))


def _check(x: Tensor, fans: tuple[Fan, ...], rows: int) -> None:
    """Refuse sizes that do not fit each other."""
    sizes = tuple(fan.size for fan in fans)
    if x.ndim == 0 or (fans and (x.ndim != 2 + len(fans) or tuple(x.shape[2:]) != sizes)):
        expected = f"[N, C, {', '.join(map(str, sizes))}]" if fans else "[..., C]"
        raise EnergyError(f"These fan-outs need a tensor {expected}, got {list(x.shape)}.")
    entries = x.shape[0] if fans else prod(x.shape[:-1])
    if rows < 0 or (entries % rows if rows else entries):
        raise EnergyError(f"{entries} entries cannot be summed in {rows} rows of equal size.")


def _count_here(declared: Declared, fans: tuple[Fan, ...], rows: int) -> EventCount | None:
    """Count by the kernels of the CPU; None for types and sizes that they do not take."""
    x = declared.x
    if x.dtype not in device_events.TYPES:
        return None
    last = bool(fans) and not x.is_contiguous() and x.movedim(1, -1).is_contiguous()
    tables = tables_of(fans, channels=x.shape[1] if last else 1)
    if tables is None:
        return None
    memory = (x.movedim(1, -1) if last else x).reshape(-1)
    if memory.dtype not in BYTES:
        memory = memory.float()
    pattern = _pattern(declared)
    if pattern is not None:
        sums, others = _sum_words(memory, tables, rows, *pattern)
        if declared.unit is None:
            return EventCount(torch.from_numpy(_all_but(sums, tables, memory.numel() // rows)))
        if not others:
            return EventCount(torch.from_numpy(sums))
    return _sum_multiples(memory, tables, rows, declared)


def _pattern(declared: Declared) -> tuple[int, int] | None:
    """Return bits to look at and what they are in a spike; None if these cannot tell.

    Where nothing is declared they are those of a zero, which is as good.
    """
    dtype, unit = declared.x.dtype, declared.unit
    if unit is None:
        return (-1 if dtype in BYTES else SIGN - 1), 0
    if declared.most != 1 or unit == 0:
        return None
    if dtype not in BYTES:
        bits = int(np.float32(unit).view(np.int32))
        return (SIGN - 1, bits & (SIGN - 1)) if declared.signed else (-1, bits)
    largest = 1 if dtype == torch.bool else torch.iinfo(dtype).max
    signed = declared.signed and dtype == torch.int8
    return None if signed or unit not in range(1, largest + 1) else (-1, int(unit))


def _sum_words(
    memory: Tensor, tables: Tables, rows: int, mask: int, one: int
) -> tuple[I64, int]:  # fmt: skip
    """Return sums ``[rows, 3]`` of the elements with these bits, and whether there are others.

    Zeros are no others, whatever their sign.
    """
    words = memory.view(torch.uint8 if memory.dtype in BYTES else torch.int32).numpy()
    magnitude = 0xFF if memory.dtype in BYTES else SIGN - 1
    row_size = words.size // rows

    def work(first: int, stop: int, sums: I64) -> int:
        others = event_kernels.sum_words(
            words, tables.tables, tables.plan, row_size, first, stop, mask, one, sums
        )
        return (others & magnitude) != 0

    return share(work, rows * -(-row_size // tables.tables.shape[1]), rows, words.nbytes)


def _all_but(zeros: I64, tables: Tables, row_size: int) -> I64:
    """Return sums of what is not zero, from those of the zeros."""
    events = row_size // tables.positions * tables.total
    return np.array([row_size, events, events]) - zeros


def _sum_multiples(
    memory: Tensor, tables: Tables, rows: int, declared: Declared
) -> EventCount | None:  # fmt: skip
    """Count what may be more than one unit; None if sums become too large for the kernel."""
    most = min(declared.most, LARGEST // max(1, tables.largest))
    if most < 1 or declared.unit is None:
        return None
    values = memory.float().numpy()
    row_size, unit = values.size // rows, declared.unit

    def work(first: int, stop: int, sums: I64) -> int:
        return event_kernels.sum_multiples(
            values, tables.tables, tables.plan, row_size, first, stop, unit, float(most),
            declared.signed, declared.slack, sums,
        )  # fmt: skip

    sums, strange = share(
        work, rows * -(-row_size // tables.tables.shape[1]), rows, values.nbytes
    )  # fmt: skip
    # What is too large for the kernel may still be what was declared.
    if strange and most < declared.most:
        return None
    return EventCount(torch.from_numpy(sums), strange)
