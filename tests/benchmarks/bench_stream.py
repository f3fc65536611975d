"""A long stream of generated events, ordinary or hard to keep up with: latency, memory, losses.

    python tests/benchmarks/bench_stream.py RECORDING [--run RUN] [--seconds 600] [--case steady]
                                            [--executor auto] [--threads N] [--json]

The windows of a recording are repeated without end (`tests/reference/hard_streams.py`), pushed into
a stream as fast as it takes them, and timed as if they came live (`stereo.latency`). Cases:

    steady   as recorded
    burst    ten of a hundred windows have ten times the events
    flicker  a fifth of the pixels sees a lamp, every second second
    empty    nothing moves, every second second
    dead     the right camera is dead
    hot      one percent of the pixels fires a thousand times a second

Counted are rectifying, encoding and the network; making the events is not. Memory is what the
system holds for the process, looked at in every twentieth of the stream.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import side_by_side
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference.hard_streams import CASES, endless

from data import Events
from data.formats import open_recording
from data.recording import CAMERAS
from stereo.checkpoint import load_network
from stereo.executors import EXECUTORS, Executor
from stereo.latency import LatencyMeter
from stereo.stream import StereoStream
from stereo.windows import endless_windows

LOOKS = 20


def resident_mib():
    """Return the memory that the system holds for this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def cut(recording, window_us):
    """Return the raw events of all whole windows of a recording, times from 0 on."""
    first, last = recording.span_us
    pairs = []
    for begin in range(first, last + 1 - window_us, window_us):
        pairs.append([
            Events(t=e.t - begin, x=e.x, y=e.y, p=e.p)
            for e in (recording.events(camera, begin, begin + window_us) for camera in CAMERAS)
        ])  # fmt: skip
    return pairs


def stream(recording, network, asked):
    """Return what a stream of so many seconds gave."""
    window_us = network.config.window_us
    count = round(asked.seconds * 1e6 / window_us)
    executor = Executor(network, asked.executor, remembers=True, threads=asked.threads)
    live = StereoStream(
        executor, endless_windows(0, window_us=window_us, step_us=window_us),
        width=recording.width, height=recording.height, rectify=recording.rectify,
    )  # fmt: skip
    meter, memory, pushed = LatencyMeter(), [], dict.fromkeys(CAMERAS, 0)
    began, first_s, done = time.perf_counter(), 0.0, 0
    made = endless(
        cut(recording, window_us), CASES[asked.case], window_us=window_us,
        width=recording.width, height=recording.height, count=count,
    )  # fmt: skip
    for left, right, until_us in made:
        pushed["left"] += len(left)
        pushed["right"] += len(right)
        for result in live.push(left, right, until_us):
            if result.index == 0:
                first_s = result.seconds
            else:
                meter.add(result.window.t0_us, result.window.t1_us, result.seconds)
            if result.index % max(1, count // LOOKS) == 0:
                memory.append(round(resident_mib(), 1))
            done, last = done + 1, result
    return {
        "case": asked.case, "windows": done, "of": count, "window_ms": window_us / 1e3,
        "events": pushed, "lost": {c: pushed[c] - last.read[c] for c in CAMERAS},
        "late": dict(last.late), "outside_image": dict(last.outside_image),
        "first_window_s": first_s, "wall_s": time.perf_counter() - began,
        "latency": asdict(meter.result()), "memory_mib": memory, "executor": executor.about,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--case", choices=sorted(CASES), default="steady")
    parser.add_argument("--executor", choices=EXECUTORS, default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    network = load_network(asked.run)
    with open_recording(asked.recording) as recording, torch.inference_mode():
        found = stream(recording, network, asked)
        size = f"{recording.width}x{recording.height}"
    document = {
        "machine": side_by_side.machine("torch", "numba"), "recording": asked.recording.name,
        "size": size, **found,
    }  # fmt: skip
    if asked.json:
        print(json.dumps(document, indent=1))
        return
    for key, value in document.items():
        print(f"{key:16}{value}")


if __name__ == "__main__":
    main()
