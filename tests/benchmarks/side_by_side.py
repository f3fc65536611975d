"""Cases run in turn, A B C A B C, in one process; their times, ratios, and what disturbed them.

A machine shared with others changes speed within seconds, so a single time says little. What is
compared here ran within the same round, and the median over rounds of the ratio is reported.
"""

import json
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PAUSE_S = 0.03
"""Between two cases: the threads of OpenMP keep spinning for a while after their work."""


@dataclass
class Timings:
    """Seconds of every case in every round.

    Attributes:
        seconds: name of a case to its times, one per round.
        foreign: share of the machine that other processes used, per round.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    foreign: list[float] = field(default_factory=list)

    def median_ms(self, name):
        return 1e3 * statistics.median(self.seconds[name])

    def best_ms(self, name):
        return 1e3 * min(self.seconds[name])

    def ratio(self, name, peer):
        """Return the median over rounds of peer time / own time: how many times as fast."""
        pairs = zip(self.seconds[name], self.seconds[peer], strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


def stay_awake(seconds):
    """Wait with this thread running.

    After a sleep both threads of a virtual machine may begin on one processor, and stay there for
    milliseconds; between the layers of a network nobody sleeps.
    """
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def run(cases, rounds, *, once=(), pause=time.sleep):
    """Run the cases in turn; one round before the first is not counted.

    Args:
        cases: name to a callable without arguments.
        rounds: number of rounds.
        once: cases so slow that a warm-up call is left out.
        pause: how to wait before each case.
    """
    timings = Timings({name: [] for name in cases})
    for name, case in cases.items():
        if name not in once:
            case()
    for _ in range(rounds):
        total, own = _cpu_seconds()
        round_began = time.perf_counter()
        for name, case in cases.items():
            pause(PAUSE_S)
            began = time.perf_counter()
            case()
            timings.seconds[name].append(time.perf_counter() - began)
        total_after, own_after = _cpu_seconds()
        busy = (total_after - total) - (own_after - own)
        spent = (time.perf_counter() - round_began) * (os.cpu_count() or 1)
        timings.foreign.append(max(0.0, busy / spent))
    return timings


def _cpu_seconds():
    """Return the CPU seconds used by everybody, and those used by this process."""
    own = sum(os.times()[:2])
    stat = Path("/proc/stat")
    if not stat.exists():
        return own, own
    user, nice, system, _, _, irq, soft, steal = map(int, stat.read_text().split()[1:9])
    everybody = user + nice + system + irq + soft + steal
    return everybody / os.sysconf("SC_CLK_TCK"), own


def machine(*packages):
    """Return what the numbers depend on, as one line per fact."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    found = {"python": platform.python_version(), "processor": f"{os.cpu_count()} x {model}"}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def report(title, timings, peers, *, counts=None, as_json=False):
    """Print one table, or return its rows.

    Args:
        title: above the table.
        timings: what ``run`` returned.
        peers: cases whose ratio to every other case is shown.
        counts: name to the events (or samples) of one call, for a column of rates.
        as_json: print nothing.
    """
    rows = []
    for name in timings.seconds:
        row = {"case": name, "median_ms": timings.median_ms(name), "best_ms": timings.best_ms(name)}
        if counts:
            row["per_s"] = counts[name] / timings.median_ms(name) * 1e3
        others = [peer for peer in peers if peer != name]
        row["times_as_fast_as"] = {peer: timings.ratio(name, peer) for peer in others}
        rows.append(row)
    document = {"title": title, "rounds": len(timings.foreign), "rows": rows,
                "foreign_load": statistics.median(timings.foreign)}  # fmt: skip
    if not as_json:
        print(f"\n{title}  ({document['rounds']} rounds, others used "
              f"{100 * document['foreign_load']:.0f} % of the machine)")  # fmt: skip
        for row in rows:
            ratios = "  ".join(f"{r:6.1f}x {p}" for p, r in row["times_as_fast_as"].items())
            rate = f"{row['per_s'] / 1e6:9.2f} M/s" if counts else ""
            print(f"  {row['case']:<34}{row['median_ms']:9.2f} ms [{row['best_ms']:8.2f}]{rate}"
                  f"  {ratios}")  # fmt: skip
    return document


def finish(documents, facts, as_json):
    """Print the facts, or everything as JSON."""
    if as_json:
        print(json.dumps({"machine": facts, "tables": documents}, indent=2))
    else:
        print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items()))
