"""DSEC sequences written without the product's writer, and their windows by brute force."""

import h5py
import hdf5plugin
import numpy as np

from data.dsec import DsecRecording

SIZE = (12, 9)
"""Columns and rows of the sensor."""


def raw_columns(seed, t):
    """Return columns for the given times: small pixels, some of them outside the sensor."""
    rng = np.random.default_rng(seed)
    t = np.asarray(t, np.int64)
    return {
        "t": t,
        "x": rng.integers(0, SIZE[0] + (rng.random() < 0.5) * 2, t.size),
        "y": rng.integers(0, SIZE[1] + (rng.random() < 0.3) * 2, t.size),
        "p": rng.integers(0, 2, t.size),
    }


def true_table(t):
    """Return ``ms_to_idx`` by its law, one millisecond after the other."""
    last = max(int(t[-1]) // 1000, 0)
    table = [
        next((i for i, time in enumerate(t) if time >= 1000 * ms), 0) for ms in range(last + 1)
    ]
    table[0] = 0
    return np.array(table, np.uint64)


def write_events(path, columns, *, offset=None, chunk=None, types=None, table="true"):
    """Write one ``events.h5``; ``offset`` and ``table`` may be None (left out) or arrays."""
    types = {"t": "<u4", "x": "<u2", "y": "<u2", "p": "u1"} | (types or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            more = {"chunks": (min(chunk, values.size),), **packed} if chunk else {}
            file.create_dataset(f"events/{name}", data=values.astype(types[name]), **more)
        if isinstance(table, str):
            table = true_table(columns["t"])
        if table is not None:
            file["ms_to_idx"] = table
        if offset is not None:
            file["t_offset"] = offset


def write_sequence(folder, left, right, **options):
    """Write a sequence of ``SIZE`` without calibration and ground truth."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for camera, columns in (("left", left), ("right", right)):
        place = folder / "events" / camera
        write_events(place / "events.h5", columns, **options)
        with h5py.File(place / "rectify_map.h5", "w") as file:
            file["rectify_map"] = np.stack([x, y], axis=-1).astype(np.float32)
    return folder


def on_sensor(columns):
    """Return where the events of ``raw_columns`` are on the sensor."""
    x, y = columns["x"], columns["y"]
    return (x >= 0) & (x < SIZE[0]) & (y >= 0) & (y < SIZE[1])


def masked(columns, offset, t0_us, t1_us):
    """Return a window by looking at every event: ``t, x, y, p`` and the number outside."""
    t = columns["t"] + offset
    during = np.array([t0_us <= int(time) < t1_us for time in t], bool)
    inside = on_sensor(columns)
    keep = during & inside
    found = (t[keep], columns["x"][keep], columns["y"][keep], columns["p"][keep] > 0)
    return found, int((during & ~inside).sum())


class Windows:
    """A map-style data set of windows, as a training set has them, for loaders with workers.

    Args:
        path: the sequence.
        windows: pairs ``t0_us, t1_us``.
        options: of ``DsecRecording``.
    """

    def __init__(self, path, windows, **options):
        self.recording = DsecRecording(path, **options)
        self.windows = windows
        self.first = self.sums(0)  # the parent has read before its workers do

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        return self.sums(index)

    def sums(self, index):
        """Return numbers that tell one window from another."""
        out = []
        for camera in ("left", "right"):
            events = self.recording.events(camera, *self.windows[index])
            shifted = np.arange(len(events)) * (events.x + 7 * events.y.astype(np.int64) + events.p)
            out += [len(events), int(events.t.sum()), int(shifted.sum())]
        return np.array(out)
