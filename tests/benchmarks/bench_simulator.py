"""How fast the simulator is: simulated seconds per second of wall time, by family and sensor.

    python tests/benchmarks/bench_simulator.py [--size 346x260] [--seconds 0.5] [--json]

Every figure is the median over the seeds; the first call of each kernel, which compiles or loads
it, is not counted. Writing to disk is not included. ``cpu`` is simulated seconds per second of
processor time on all threads together: on a shared machine it tells more than the wall clock does.
"""

import argparse
import json
import statistics
import time

import numpy as np

from data.simulator.clip import play
from data.simulator.mvsec import mvsec_rig
from data.simulator.recordings import dsec_rig
from data.simulator.scenes import SCENES
from data.simulator.sensors import SENSORS, make_sensors


def measure(name, sensor, rig, seconds, seed, threads):
    """Return wall and processor seconds, events of both cameras, and the report of the steps."""
    rng = np.random.default_rng(seed)
    world = SCENES[name](rng, rig)
    sensors = make_sensors(sensor, rng)
    wall, processor = time.perf_counter(), time.process_time()
    clip = play(
        world, rig, sensors, duration_us=round(seconds * 1e6), disparity_t_us=[], seed=seed,
        adaptive=True, threads=threads,
    )  # fmt: skip
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - processor,
        "events": len(clip.left) + len(clip.right),
        "floored": clip.steps.floored,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="346x260", help="346x260 and 640x480 take their own rigs")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--family", action="append", choices=sorted(SCENES))
    parser.add_argument("--sensor", action="append", choices=sorted(SENSORS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = (int(n) for n in options.size.split("x"))
    rig = (mvsec_rig if width <= 346 else dsec_rig)(width, height)
    families = options.family or sorted(n for n, f in SCENES.items() if not f.needs_pictures)
    measure(families[0], "noisy", rig, 0.01, 0, options.threads)
    rows = []
    for name in families:
        for sensor in options.sensor or ("clean", "noisy"):
            runs = [
                measure(name, sensor, rig, options.seconds, seed, options.threads)
                for seed in range(1, options.seeds + 1)
            ]
            rows.append(
                {
                    "family": name,
                    "sensor": sensor,
                    "simulated_s_per_wall_s": options.seconds
                    / statistics.median(r["wall_s"] for r in runs),
                    "simulated_s_per_cpu_s": options.seconds
                    / statistics.median(r["cpu_s"] for r in runs),
                    "events_per_s": statistics.median(r["events"] for r in runs) / options.seconds,
                    "floored": sum(r["floored"] for r in runs),
                }
            )
    document = {
        "size": options.size, "seconds": options.seconds, "threads": options.threads,
        "data": "generated data", "rows": rows,
    }  # fmt: skip
    if options.json:
        print(json.dumps(document, indent=1))
        return
    print(f"{options.size}, {options.threads} threads, {options.seconds} s, generated data")
    print(
        f"{'family':12s} {'sensor':8s} {'sim s / wall s':>15s} {'sim s / cpu s':>14s}"
        f" {'events/s':>12s}"
    )
    for row in rows:
        print(
            f"{row['family']:12s} {row['sensor']:8s} {row['simulated_s_per_wall_s']:15.2f} "
            f"{row['simulated_s_per_cpu_s']:14.2f} {row['events_per_s']:12,.0f}"
        )


if __name__ == "__main__":
    main()
