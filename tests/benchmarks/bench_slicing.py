"""Random windows of a DSEC file: the official slicing, this reader, and its event cache.

    python tests/benchmarks/bench_slicing.py [--events N] [--rounds 7] [--windows 40] [--json]

The file is generated: edge-like events at 5 million per second in chunks of 65536, packed with
Blosc (Zstandard, byte shuffle) as DSEC's are. The peer is the slicing of the data set's own loader
in our words: the table brackets the window, one read of every column, default settings of h5py.
Every case of a round reads the same windows, every round other ones; ratios are medians over
rounds. Each case has a file of its own, or HDF5 would share its cache of chunks between them.
`direct` keeps nothing, as files are read that are far larger than the memory for unpacked events;
`reader` keeps them, as in use (160 MiB per process, most of a file of
2e7 events and little of a real one).
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import side_by_side
from dsec_example import ExampleSlicer

from data.dsec import events
from data.dsec.blocks import BUDGET_BYTES
from data.dsec.cache import cached_events
from data.dsec.events import EventFile
from data.dsec.writer import ms_to_idx

WIDTH, HEIGHT = 640, 480
WINDOW_US = 50_000
RATE_PER_S = 5_000_000
OFFSET_US = 53_193_302_164
CHUNK = 1 << 16


def write_edges(path, count, seed=0):
    """Write events of 40 vertical edges that drift at 50 px/s, with jitter and 5 % wrong signs."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, int(1e6 * count / RATE_PER_S), count))
    edge = rng.integers(0, 40, count)
    x = (16 * edge + (t * 50e-6).astype(np.int64) + rng.integers(-1, 2, count)) % WIDTH
    columns = {
        "t": t.astype("<u4"),
        "x": x.astype("<u2"),
        "y": rng.integers(0, HEIGHT, count).astype("<u2"),
        "p": ((edge % 2 == 0) ^ (rng.random(count) < 0.05)).astype("u1"),
    }
    packed = hdf5plugin.Blosc(cname="zstd", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE)
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(f"events/{name}", data=values, chunks=(CHUNK,), **packed)
        file.create_dataset("ms_to_idx", data=ms_to_idx(t), **packed)
        file["t_offset"] = np.int64(OFFSET_US)


def check(readers, windows):
    """Compare what the readers give, value by value."""
    for t0_us in windows:
        expected = readers["official"].window(t0_us, t0_us + WINDOW_US)
        for name, reader in readers.items():
            if name != "official":
                found, _ = reader.window(t0_us, t0_us + WINDOW_US)
                for column, values in zip("txyp", expected, strict=True):
                    np.testing.assert_array_equal(getattr(found, column), values)


def measure(options):
    """Return the timings, and what is told beside them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_edges(folder / "official.h5", options.events)
        for other in ("reader", "direct", "cached"):
            shutil.copy(folder / "official.h5", folder / f"{other}.h5")
        reader = EventFile(folder / "reader.h5", WIDTH, HEIGHT)
        usual, events.DIRECT_SHARE = events.DIRECT_SHARE, 0
        direct = EventFile(folder / "direct.h5", WIDTH, HEIGHT)
        events.DIRECT_SHARE = usual
        began = time.perf_counter()
        cached = cached_events(folder / "cached.h5", WIDTH, HEIGHT, folder / "cache")
        fill_s = time.perf_counter() - began
        readers = {
            "official": ExampleSlicer(folder / "official.h5"),
            "reader": reader, "direct": direct, "cached": cached,
        }  # fmt: skip
        last = reader.ends_us[1] - WINDOW_US - 2_000
        rng = np.random.default_rng(1)
        check(readers, rng.integers(OFFSET_US, last, 5).tolist())
        windows = []

        def case(name):
            def read():
                for t0_us in windows:
                    readers[name].window(t0_us, t0_us + WINDOW_US)

            return read

        cases = {name: case(name) for name in readers}
        timings = None
        for _ in range(options.rounds + 1):
            windows[:] = rng.integers(OFFSET_US, last, options.windows).tolist()
            once = side_by_side.run(cases, 1, once=tuple(cases))
            if timings is None:  # the first round warms up
                timings = side_by_side.Timings({name: [] for name in cases})
                continue
            for name, seconds in once.seconds.items():
                timings.seconds[name] += seconds
            timings.foreign += once.foreign
        size = (folder / "official.h5").stat().st_size
    return timings, {"fill_s": fill_s, "file_bytes": size, "budget_bytes": BUDGET_BYTES}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    timings, about = measure(options)
    rows = {
        name: {
            "ms_per_window": timings.median_ms(name) / options.windows,
            "best_ms_per_window": timings.best_ms(name) / options.windows,
            "windows_per_s": 1e3 * options.windows / timings.median_ms(name),
            "times_official": timings.ratio(name, "official"),
        }
        for name in timings.seconds
    }
    report = {"events": options.events, "window_us": WINDOW_US, "generated_data": True,
              "rounds": options.rounds, "windows": options.windows, "foreign": timings.foreign,
              **about, "cases": rows}  # fmt: skip
    if options.json:
        print(json.dumps(report))
        return
    print(f"{options.events} generated events, {about['file_bytes'] / 1e6:.0f} MB; "
          f"{options.rounds} rounds of {options.windows} random windows of "
          f"{WINDOW_US // 1000} ms; filling the cache took {about['fill_s']:.1f} s")  # fmt: skip
    print(f"{'case':10s} {'ms/window':>10s} {'[best]':>8s} {'windows/s':>10s} {'x official':>11s}")
    for name, row in rows.items():
        print(f"{name:10s} {row['ms_per_window']:10.3f} {row['best_ms_per_window']:8.3f} "
              f"{row['windows_per_s']:10.0f} {row['times_official']:11.2f}")  # fmt: skip
    print(f"share of the machine used by others: {max(timings.foreign):.0%} at most")


if __name__ == "__main__":
    main()
