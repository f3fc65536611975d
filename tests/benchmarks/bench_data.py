"""Events to tensors beside Tonic, evlib and DSEC's example: encoding, and the whole path.

    python tests/benchmarks/bench_data.py [--events 1000000] [--rounds 9] [--json]

Peers: `tonic` (a dependency of this project); `evlib` if it is installed (`pip install evlib`;
its dependency torchvision may have to be removed beside a CPU build of torch); DSEC's example
loader, whose steps are done here in our own words with torch and h5py (`official_*`).
Threads of torch wait without spinning here: by default they keep a processor busy for
milliseconds after their case has ended, at the cost of the case that comes next.
Events are generated, uniform over the sensor (the worst locality) and sorted by time.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import h5py
import hdf5plugin  # noqa: F401
import numba
import numpy as np
import side_by_side
import torch
from dsec_example import ExampleSlicer
from tonic.functional import to_voxel_grid_numpy

from data import Events
from data.dsec import DsecRecording, write_dsec
from data.encode import ENCODINGS, PixelMap, voxel_grid
from data.pair import encode_pair
from data.simulator.recordings import dsec_rig

WIDTH, HEIGHT, BINS = 640, 480, 15
WINDOW_US = 50_000
SIZE = {"height": HEIGHT, "width": WIDTH, "t0_us": 0, "t1_us": WINDOW_US}


def uniform_events(count, seed, length_us=WINDOW_US):
    rng = np.random.default_rng(seed)
    return Events(
        t=np.sort(rng.integers(0, length_us, count)),
        x=rng.integers(0, WIDTH, count).astype(np.uint16),
        y=rng.integers(0, HEIGHT, count).astype(np.uint16),
        p=rng.random(count) < 0.5,
    )


def for_tonic(events):
    """Return the structured array, with the signed polarity that spares the peer a pass."""
    array = np.empty(len(events), [("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "<i1")])
    array["x"], array["y"], array["t"] = events.x, events.y, events.t
    array["p"] = np.where(events.p, 1, -1)
    return array


def official_voxels(t, x, y, p):
    """Split events over 8 corners with ``put_``, as the example's representation does."""
    grid = torch.zeros(BINS, HEIGHT, WIDTH)
    place = (BINS - 1) * (t - t[0]) / (t[-1] - t[0])
    value = 2 * p - 1
    x0, y0, t0 = x.int(), y.int(), place.int()
    for col in (x0, x0 + 1):
        for row in (y0, y0 + 1):
            for bin_ in (t0, t0 + 1):
                on = (col < WIDTH) & (col >= 0) & (row < HEIGHT) & (row >= 0)
                on &= (bin_ >= 0) & (bin_ < BINS)
                share = value * (1 - (col - x).abs()) * (1 - (row - y).abs())
                share = share * (1 - (bin_ - place).abs())
                index = HEIGHT * WIDTH * bin_.long() + WIDTH * row.long() + col.long()
                grid.put_(index[on], share[on], accumulate=True)
    return grid


def official_pair(slicers, maps, t0_us):
    """Do the example's steps for both cameras: slice, rectify, scatter."""
    grids = []
    for camera in ("left", "right"):
        t, x, y, p = slicers[camera].window(t0_us, t0_us + WINDOW_US)
        moved = maps[camera][y, x]
        columns = ((t - t[0]).astype(np.float32), moved[:, 0], moved[:, 1], p.astype(np.float32))
        grids.append(official_voxels(*(torch.from_numpy(np.ascontiguousarray(c)) for c in columns)))
    return grids


def encoding_cases(count):
    """Return cases of one camera: bilinear and trilinear grids, and our other encodings."""
    events = uniform_events(count, 0)
    array = for_tonic(events)
    rng = np.random.default_rng(1)
    moved = Events(t=events.t, x=(events.x + rng.random(count)).astype(np.float32),
                   y=(events.y + rng.random(count)).astype(np.float32), p=events.p)  # fmt: skip
    as_floats = events.t.astype(np.float32), moved.x, moved.y, events.p.astype(np.float32)
    columns = [torch.from_numpy(column) for column in as_floats]
    identity = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1)
    lens = PixelMap(identity.astype(np.float32) + np.float32(0.25))
    kept = np.empty((BINS, 1, HEIGHT, WIDTH), np.float32)
    voxel, trilinear = ENCODINGS["voxel"](), ENCODINGS["voxel_trilinear"]()
    cases = {
        "stereo voxel_grid": lambda: voxel_grid(events, bins=BINS, **SIZE),
        "stereo voxel, kept output": lambda: voxel(events, steps=BINS, out=kept, **SIZE),
        "stereo voxel, rectifying": lambda: voxel(
            events, steps=BINS, out=kept, pixels=lens, **SIZE
        ),
        "tonic to_voxel_grid": lambda: to_voxel_grid_numpy(array, (WIDTH, HEIGHT, 2), BINS),
        "stereo voxel_trilinear": lambda: trilinear(moved, steps=BINS, **SIZE),
        "stereo trilinear, kept output": lambda: trilinear(moved, steps=BINS, out=kept, **SIZE),
        "DSEC-style torch trilinear": lambda: official_voxels(*columns),
    }
    try:
        import evlib
        import polars
    except ImportError as error:
        print(f"evlib is left out: {error}", file=sys.stderr)
    else:
        frame = polars.DataFrame(
            {"t": events.t, "x": events.x, "y": events.y, "polarity": array["p"]}
        ).lazy()
        make = evlib.representations.create_voxel_grid
        cases["evlib create_voxel_grid"] = lambda: make(frame, HEIGHT, WIDTH, BINS)
    for name in sorted(set(ENCODINGS) - {"voxel", "voxel_trilinear"}):
        other = ENCODINGS[name]()
        out = np.empty((BINS, other.channels, HEIGHT, WIDTH), np.float32)
        cases[f"stereo {name}, kept output"] = lambda other=other, out=out: other(
            events, steps=BINS, out=out, **SIZE
        )
    return cases


def write_recording(folder, count, length_us):
    rig = dsec_rig(WIDTH, HEIGHT)
    write_dsec(
        folder, left=uniform_events(count, 2, length_us), right=uniform_events(count, 3, length_us),
        lenses=rig.lenses, calibration=rig.calibration, t_offset_us=53_200_000_000, width=WIDTH,
        height=HEIGHT, disparity=np.zeros((1, HEIGHT, WIDTH), np.float32),
        disparity_t_us=np.array([0]), generated={"by": "bench_data.py"},
    )  # fmt: skip
    return 53_200_000_000


def path_cases(folder, length_us, stack):
    """Return cases of both cameras: window -> rectified -> encoded, from a DSEC folder."""
    offset = write_recording(folder / "seq", 5 * length_us, length_us)
    slicers, maps = {}, {}
    for camera in ("left", "right"):
        place = folder / "seq" / "events" / camera
        slicers[camera] = ExampleSlicer(place / "events.h5")
        stack.callback(slicers[camera].file.close)
        with h5py.File(place / "rectify_map.h5", "r") as file:
            maps[camera] = file["rectify_map"][()]
    plain = stack.enter_context(DsecRecording(folder / "seq"))
    cached = stack.enter_context(DsecRecording(folder / "seq", cache=folder / "cache"))
    starts = iter(np.random.default_rng(4).integers(0, length_us - WINDOW_US, 10**6))
    # One start per round, so that every case reads the same window, and none twice.
    now = {"t0": 0}

    def official():
        now["t0"] = int(next(starts))
        official_pair(slicers, maps, now["t0"] + offset)

    def ours(recording, name, **more):
        t0_us = now["t0"] + offset
        encode_pair(recording, ENCODINGS[name](), steps=BINS, t0_us=t0_us,
                    t1_us=t0_us + WINDOW_US, **more)  # fmt: skip

    kept = tuple(np.empty((BINS, 1, HEIGHT, WIDTH), np.float32) for _ in range(2))
    return {
        "DSEC's example, its steps": official,
        "stereo trilinear, cache": lambda: ours(cached, "voxel_trilinear", out=kept),
        "stereo trilinear, cache, new output": lambda: ours(cached, "voxel_trilinear"),
        "stereo trilinear, no cache": lambda: ours(plain, "voxel_trilinear", out=kept),
        "stereo voxel, cache": lambda: ours(cached, "voxel", out=kept),
        "stereo spikes, cache": lambda: ours(cached, "spikes"),
    }


@numba.njit(nogil=True)
def scatter(place, out):
    for i in range(place.size):
        out[place[i]] += np.float32(1.0)


def ceiling_cases(count):
    """Return what no encoding can beat: random additions to one image, reading, writing."""
    rng = np.random.default_rng(5)
    place = rng.integers(0, WIDTH * HEIGHT, count).astype(np.int32)
    image = np.zeros(WIDTH * HEIGHT, np.float32)
    grid = np.zeros(BINS * WIDTH * HEIGHT, np.float32)
    return {
        "random additions, 1 thread": lambda: scatter(place, image),
        "zero a kept grid, 1 thread": lambda: grid.fill(0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    documents = []
    peers = ["tonic to_voxel_grid", "evlib create_voxel_grid", "DSEC-style torch trilinear"]
    for count in options.events:
        cases = encoding_cases(count)
        rounds = options.rounds if count <= 2_000_000 else max(3, options.rounds // 2)
        timings = side_by_side.run(cases, rounds)
        documents.append(side_by_side.report(
            f"{count:,} events, {WIDTH} x {HEIGHT} x {BINS}", timings,
            [peer for peer in peers if peer in cases],
            counts=dict.fromkeys(cases, count), as_json=options.json,
        ))  # fmt: skip
        ceilings = ceiling_cases(count)
        documents.append(side_by_side.report(
            "ceilings", side_by_side.run(ceilings, rounds), [],
            counts=dict.fromkeys(ceilings, count), as_json=options.json,
        ))  # fmt: skip
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cases = path_cases(folder, 1_500_000, stack)
        timings = side_by_side.run(cases, max(options.rounds, 21))
    documents.append(side_by_side.report(
        "window of 50 ms -> rectified -> encoded, both cameras, 250,000 events each", timings,
        ["DSEC's example, its steps"], as_json=options.json,
    ))  # fmt: skip
    facts = side_by_side.machine("numpy", "numba", "torch", "tonic", "evlib", "h5py", "hdf5plugin")
    side_by_side.finish(documents, facts, options.json)


if __name__ == "__main__":
    main()
