"""Samples per second of the loader, with and without a cache, beside Tonic's; and memory over time.

    python tests/benchmarks/bench_loading.py [--rounds 3] [--workers 0 1 2] [--json]
    python tests/benchmarks/bench_loading.py --memory 10000 [--size 346x260] [--workers 0 1]

A sample is a window of 50 ms of both cameras, encoded as 5 steps, with its ground truth. Recordings
are written for this in DSEC's layout: generated data, events uniform over the sensor (the worst
locality). The peer is Tonic's ``DiskCachedDataset`` with the same samples behind it, behind a plain
``DataLoader`` of torch with the same number of workers. Files are in the page cache: what is
measured is the work, not the disk.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import side_by_side
import tonic
import torch

from data import Events
from data.datasets import StereoWindows
from data.dsec import write_dsec
from data.encode import ENCODINGS
from data.loading import build_loader, prepare_worker
from data.sample_cache import CachedSamples
from data.simulator.recordings import dsec_rig

PERIOD_US = WINDOW_US = 50_000
STEPS = 5
RATES = {(640, 480): 5_000_000, (346, 260): 1_000_000}
"""Events per second and camera."""


def uniform_events(seed, width, height, rate, length_us):
    rng = np.random.default_rng(seed)
    count = int(rate * length_us / 1e6)
    return Events(
        t=np.sort(rng.integers(0, length_us, count)),
        x=rng.integers(0, width, count).astype(np.uint16),
        y=rng.integers(0, height, count).astype(np.uint16),
        p=rng.random(count) < 0.5,
    )


def write_recording(folder, width, height, samples):
    """Write a recording with so many ground truths, half of their pixels known, as LiDAR gives."""
    length_us = (samples + 1) * PERIOD_US
    rate = RATES.get((width, height), 10 * width * height)
    rng = np.random.default_rng(2)
    known = rng.random((samples, height, width), np.float32) < 0.5
    disparity = rng.integers(256, 256 * 60, known.shape).astype(np.float32) / 256 * known
    rig = dsec_rig(width, height)
    left, right = (uniform_events(seed, width, height, rate, length_us) for seed in (0, 1))
    write_dsec(
        folder, left=left, right=right, lenses=rig.lenses, calibration=rig.calibration,
        disparity=disparity, disparity_t_us=PERIOD_US * np.arange(1, samples + 1),
        t_offset_us=53_200_000_000, width=width, height=height,
        generated={"by": "bench_loading.py"},
    )  # fmt: skip


def dataset(folder, name):
    encoding = ENCODINGS[name](bins=2)
    return StereoWindows(recordings=folder, encoding=encoding, steps=STEPS, window_us=WINDOW_US)


class ForTonic:
    """The same samples as pairs of data and targets, as ``DiskCachedDataset`` takes them."""

    def __init__(self, windows):
        self.windows = windows

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        sample = self.windows[index]
        return (sample.left.numpy(), sample.right.numpy()), (
            sample.disparity.numpy(),
            sample.valid.numpy(),
        )


def stack_pairs(samples):
    """Return Tonic's samples as the tensors of a batch."""
    columns = zip(*((*data, *targets) for data, targets in samples), strict=True)
    return [torch.from_numpy(np.stack(column, axis=1 if k < 2 else 0))
            for k, column in enumerate(columns)]  # fmt: skip


def tonic_loader(windows, folder, batch, workers):
    cached = tonic.DiskCachedDataset(ForTonic(windows), cache_path=str(folder))
    return torch.utils.data.DataLoader(
        cached, batch_size=batch, num_workers=workers, collate_fn=stack_pairs, shuffle=True,
        worker_init_fn=prepare_worker if workers else None, persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip


def drain(loader):
    for _ in loader:
        pass


def throughput(folder, size, name, arguments):
    """Return a table of passes over one recording, interleaved, and the sizes of the caches."""
    width, height = size
    windows = dataset(folder / f"{width}x{height}", name)
    place = folder / f"cache-{name}-{width}"
    cached = CachedSamples(windows, place / "ours")
    loaders = {}
    for workers in arguments.workers:
        batch = {"batch_size": arguments.batch, "workers": workers}
        loaders[f"made anew, {workers} workers"] = build_loader(windows, **batch)
        loaders[f"CachedSamples, {workers} workers"] = build_loader(cached, **batch)
        loaders[f"Tonic's cache, {workers} workers"] = tonic_loader(
            windows, place / "tonic", arguments.batch, workers
        )
    began = time.perf_counter()
    drain(build_loader(cached, arguments.batch))
    ours_s = time.perf_counter() - began
    began = time.perf_counter()
    drain(tonic_loader(windows, place / "tonic", arguments.batch, 0))
    tonic_s = time.perf_counter() - began
    cases = {case: (lambda loader=loader: drain(loader)) for case, loader in loaders.items()}
    timings = side_by_side.run(cases, arguments.rounds)
    stored = sum(file.stat().st_size for file in (place / "tonic").glob("*.hdf5"))
    facts = {
        "samples": len(windows),
        "fill_s": {"CachedSamples": ours_s, "Tonic's cache": tonic_s},
        "bytes_per_sample": {
            "CachedSamples": cached.size().bytes / len(windows),
            "Tonic's cache": stored / len(windows),
            "tensors": sum(t.numel() * t.element_size() for t in tensors(windows[0])),
        },
        "counts": vars(cached.counts()),
    }
    return timings, facts


def tensors(sample):
    return [sample.left, sample.right, sample.disparity, sample.valid]


def show(title, timings, facts):
    """Print one table: samples per second, and how many times as fast as Tonic's cache."""
    busy = 100 * statistics.median(timings.foreign)
    print(f"\n{title}: {facts['samples']} samples a pass, {len(timings.foreign)} rounds, other "
          f"processes (workers too) used {busy:.0f} % of the machine")  # fmt: skip
    for case in timings.seconds:
        rate = facts["samples"] / timings.median_ms(case) * 1e3
        best = facts["samples"] / timings.best_ms(case) * 1e3
        peer = "Tonic's cache, " + case.split(", ")[1]
        ratio = "" if case == peer else f"{timings.ratio(case, peer):6.1f}x Tonic's cache"
        print(f"  {case:<28}{rate:9.1f} samples/s [{best:7.1f}]  {ratio}")
    sizes = ", ".join(f"{k} {v / 1e6:.2f} MB" for k, v in facts["bytes_per_sample"].items())
    fill = ", ".join(f"{k} {facts['samples'] / v:.1f}/s" for k, v in facts["fill_s"].items())
    print(f"  per sample: {sizes}\n  filled at: {fill}; counts {facts['counts']}")


def memory_of(*processes):
    """Return MiB of resident memory now and at its peak, and of anonymous memory, all summed."""
    found = dict.fromkeys(("VmRSS", "VmHWM", "RssAnon"), 0.0)
    for process in processes:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in found:
                found[key] += int(value.split()[0]) / 1024
    return found


def measure_memory(folder, name, batch, workers, samples, cache):
    """Load so many samples in this process and print memory at 1,000 and at the end as JSON."""
    windows = dataset(folder, name)
    source = CachedSamples(windows, cache) if cache else windows
    loader = build_loader(source, batch, workers=workers)
    marks = sorted({100, 1_000, 2_000, 5_000, samples})
    seen, rows = 0, []
    began = time.perf_counter()
    while seen < samples:
        for one in loader:
            seen += len(one.t_us)
            while marks and seen >= marks[0]:
                children = [w.pid for w in getattr(loader._iterator, "_workers", [])]
                memory = memory_of(os.getpid(), *children)
                rows.append({"samples": marks.pop(0), **memory})
            if seen >= samples:
                break
    print(json.dumps({"rows": rows, "samples_per_s": seen / (time.perf_counter() - began)}))


def memory(folder, size, arguments):
    """Run ``measure_memory`` in fresh processes; return their tables by case."""
    width, height = size
    found = {}
    for workers in arguments.workers:
        for cache in ("", str(folder / "memory-cache")):
            options = {"inside": folder / f"{width}x{height}", "memory": arguments.memory,
                       "workers": workers, "encoding": arguments.encoding,
                       "batch": arguments.batch, "cache": cache}  # fmt: skip
            command = [sys.executable, __file__, *(f"--{k}={v}" for k, v in options.items())]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            case = f"{'CachedSamples' if cache else 'made anew'}, {workers} workers"
            found[case] = json.loads(done.stdout)
            if not arguments.json:
                print(f"\n{case}, {width}x{height}: {found[case]['samples_per_s']:.1f} samples/s")
                for row in found[case]["rows"]:
                    print(f"  after {row['samples']:>6} samples: peak RSS {row['VmHWM']:7.1f} MiB, "
                          f"now {row['VmRSS']:7.1f}, anonymous {row['RssAnon']:7.1f}")  # fmt: skip
    return found


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["640x480", "346x260"])
    parser.add_argument("--samples", type=int, default=64, help="ground truths of a recording")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encoding", default="voxel")
    parser.add_argument("--memory", type=int, default=0, help="samples to load; measure memory")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    parser.add_argument("--cache", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse()
    if arguments.inside:
        measure_memory(
            arguments.inside, arguments.encoding, arguments.batch, arguments.workers[0],
            arguments.memory, arguments.cache,
        )  # fmt: skip
        return
    sizes = [tuple(int(n) for n in size.split("x")) for size in arguments.size]
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            write_recording(Path(folder) / f"{size[0]}x{size[1]}", *size, arguments.samples)
            title = f"{size[0]}x{size[1]}, {arguments.encoding}, batches of {arguments.batch}"
            if arguments.memory:
                found = memory(Path(folder), size, arguments)
                documents.append({"title": title, "memory": found})
                continue
            timings, facts = throughput(Path(folder), size, arguments.encoding, arguments)
            documents.append({"title": title, "seconds": timings.seconds,
                              "foreign_load": timings.foreign, **facts})  # fmt: skip
            if not arguments.json:
                show(title, timings, facts)
    facts = side_by_side.machine("numpy", "numba", "torch", "tonic", "h5py")
    side_by_side.finish(documents, facts | {"data": "generated"}, arguments.json)


if __name__ == "__main__":
    main()
