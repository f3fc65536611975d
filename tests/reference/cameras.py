"""Events of one camera written in every format that is read, for tests."""

import h5py
import numpy as np
from reference.evt import evt2_words, evt3_words, raw_bytes

COLUMNS = "txyp"


def some_events(seed=0, count=300, *, width=64, height=48, last_us=200_000):
    """Return sorted columns t, x, y, p with ties."""
    rng = np.random.default_rng(seed)
    return {
        "t": np.sort(rng.integers(0, last_us // 5, count) * 5),
        "x": rng.integers(0, width, count),
        "y": rng.integers(0, height, count),
        "p": rng.integers(0, 2, count),
    }


def write_evt2(path, events):
    path.write_bytes(raw_bytes(evt2_words(*(events[c] for c in COLUMNS)), evt=2, size=(64, 48)))


def write_evt3(path, events):
    path.write_bytes(raw_bytes(evt3_words(*(events[c] for c in COLUMNS)), evt=3, size=(64, 48)))


def write_npz_columns(path, events):
    with path.open("wb") as file:
        np.savez(file, **events, width=64, height=48)


def write_npz_table(path, events):
    with path.open("wb") as file:
        np.savez_compressed(file, events=np.stack([events[c] for c in COLUMNS], axis=1))


def write_npz_structured(path, events):
    dtype = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")]
    array = np.array(list(zip(*(events[c] for c in COLUMNS), strict=True)), dtype)
    with path.open("wb") as file:
        np.savez(file, events=array)


def write_npz_of_both(path, events):
    table = np.stack([events[c] for c in COLUMNS], axis=1)
    with path.open("wb") as file:
        np.savez(file, left=table, right=table)


def write_e2calib(path, events):
    with h5py.File(path, "w") as file:
        for name, dtype in {"x": "u2", "y": "u2", "p": "u1", "t": "i8"}.items():
            file.create_dataset(name, data=events[name].astype(dtype), compression="lzf")


def write_v2e(path, events):
    table = np.stack([events[c] for c in COLUMNS], axis=1).astype("u4")
    with h5py.File(path, "w") as file:
        file.create_dataset("events", data=table)


def write_dsec_file(path, events):
    offset = 53_193_302_164
    with h5py.File(path, "w") as file:
        for name, dtype in {"x": "u2", "y": "u2", "p": "u1", "t": "u4"}.items():
            file.create_dataset(f"events/{name}", data=events[name].astype(dtype))
        file["t_offset"] = np.int64(offset)
    return offset


def write_m3ed(path, events):
    with h5py.File(path, "w") as file:
        for camera in ("left", "right"):
            group = file.create_group(f"prophesee/{camera}")
            for name, dtype in {"x": "u2", "y": "u2", "p": "u1", "t": "i8"}.items():
                group.create_dataset(name, data=events[name].astype(dtype))
            group["calib/resolution"] = np.array([64, 48])


def write_compound(path, events):
    dtype = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
    array = np.empty(len(events["t"]), dtype)
    for name in COLUMNS:
        array[name] = events[name]
    with h5py.File(path, "w") as file:
        file["events"] = array


WRITERS = {
    "evt2": write_evt2,
    "evt3": write_evt3,
    "npz columns": write_npz_columns,
    "npz table": write_npz_table,
    "npz structured": write_npz_structured,
    "npz of both": write_npz_of_both,
    "e2calib": write_e2calib,
    "v2e": write_v2e,
    "dsec": write_dsec_file,
    "m3ed": write_m3ed,
    "compound": write_compound,
}
"""Each writes columns to a path, and returns the offset of the times it stored, if any."""

STATED = {"evt2", "evt3", "npz columns", "m3ed"}
"""Writers whose files state the size of the sensor."""
