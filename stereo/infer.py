"""The job ``stereo infer``: a recording in; a video, disparity images and a report out."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from data.recording import Recording
from energy import EnergyReport, mean_report, profile
from nas.neurons.memory import set_aside
from stereo.analog_twin import beside_twin
from stereo.devices import find_device
from stereo.draw import Picture
from stereo.executors import Executor
from stereo.latency import LatencyMeter
from stereo.merging import merged_size, refuse_few_blocks
from stereo.metrics import Accuracy, AccuracyMeter
from stereo.network import HybridStereo
from stereo.options import InferOptions
from stereo.output import ResultFolder
from stereo.render import View, render
from stereo.report import describe
from stereo.stopwatch import Stopwatch
from stereo.stream import WindowResult, run_windows
from stereo.video import frame_rate, video_sink
from stereo.windows import Window, covered_us, plan_windows

ENERGY_WINDOWS = 2
"""Energy is measured on at most so many windows, evenly spread, and averaged."""

Progress = Callable[[int, int, str], None]
Watcher = Callable[[WindowResult], None]
Disparity = Float32[np.ndarray, "H W"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inference:
    """The outcome of ``infer``.

    Attributes:
        document: the content of ``report.json``.
        accuracy: None where the recording has no ground truth.
        energy: mean over the measured windows.
    """

    document: dict[str, Any]
    accuracy: Accuracy | None
    energy: EnergyReport


def infer(
    recording: Recording,
    network: HybridStereo,
    out: Path,
    options: InferOptions,
    progress: Progress = lambda _done, _all, _note: None,
    watcher: Watcher = lambda _result: None,
) -> Inference:
    """Estimate the disparity of a recording, and write video, images and report to ``out``.

    Args:
        recording: two event cameras.
        network: in eval mode.
        out: folder for ``disparity.mp4``, ``report.json`` and what is kept of every window.
        options: what to do.
        progress: called after every window with the windows done, all windows, and whether real
            time is kept.
        watcher: called with every window, such as a live view.

    Raises:
        RecordingError: the recording turned out to be damaged.
        StereoError: options or network give no estimate, or ``out`` cannot be used.
    """
    torch.manual_seed(options.seed)
    # Whoever calls finds the neurons as they were, though those of a stream go on.
    with set_aside(network):
        return _infer(recording, network, out, options, progress, watcher)


def _infer(
    recording: Recording,
    network: HybridStereo,
    out: Path,
    options: InferOptions,
    progress: Progress,
    watcher: Watcher,
) -> Inference:
    """Do what ``infer`` says."""
    refuse_few_blocks(options.merge, recording.height, recording.width)
    windows = plan(recording, network, options)
    remembers = options.stream and not overlap(windows)
    executor = Executor(
        network, options.executor, remembers=remembers, threads=options.threads,
        device=find_device(options.device),
    )  # fmt: skip
    fps = frame_rate(len(windows), covered_us(windows))
    view = _view(recording, network, windows, options, fps)
    folder = ResultFolder(out, options.keeps, recording.calibration)
    tally, watch = _Tally(recording, network, len(windows), options), Stopwatch()

    with watch("total"), video_sink(folder.video, fps) as video:
        for result in run_windows(
            recording, network, windows, max_disparity=options.max_disparity,
            merge=options.merge, watch=watch, executor=executor,
        ):  # fmt: skip
            with watch("ground truth"):
                truth = _truth(recording, result.window)
                tally.compare(result, truth)
            with watch("energy"):
                tally.count(result)
            with watch("video"):
                video.write(_frame(view, result, truth))
            with watch("images"):
                folder.write(result.index, result.disparity)
            watcher(result)
            progress(result.index + 1, len(windows), tally.pace())

    accuracy, energy = tally.meter.result(), mean_report(tally.energies)
    document = describe(
        recording=recording,
        network=network,
        options=options,
        windows=windows,
        last=tally.last,
        folder=folder,
        fps=fps,
        latency=tally.latency.result(),
        first_s=tally.first_s,
        executor=executor.about,
        seconds=watch.seconds,
        accuracy=accuracy,
        energy=energy.to_dict() | beside_twin(energy),
    )
    folder.write_report(document)
    return Inference(document=document, accuracy=accuracy, energy=energy)


def plan(recording: Recording, network: HybridStereo, options: InferOptions) -> list[Window]:
    """Lay the windows of an inference over a recording."""
    window_us = options.window_us or network.config.window_us
    return plan_windows(
        recording.span_us,
        recording.disparity_t_us,
        window_us=window_us,
        step_us=options.step(window_us),
        limit=options.max_windows,
    )


def overlap(windows: list[Window]) -> bool:
    """Tell whether two windows share events; neurons that go on would see those twice."""
    return any(later.t0_us < earlier.t1_us for earlier, later in pairwise(windows))


def spread(count: int, picks: int) -> set[int]:
    """Return at most ``picks`` of ``count`` indices, in the middles of equal parts."""
    picks = min(count, picks)
    return {(2 * index + 1) * count // (2 * picks) for index in range(picks)}


class _Tally:
    """What is measured while the windows pass."""

    def __init__(
        self, recording: Recording, network: HybridStereo, count: int, options: InferOptions
    ) -> None:
        self.meter = AccuracyMeter(recording.calibration.fb if recording.calibration else None)
        self.energies: list[EnergyReport] = []
        self.last: WindowResult | None = None
        self._network = network
        self._options = options
        self._picked = spread(count, ENERGY_WINDOWS)
        self.latency = LatencyMeter()
        self.first_s = 0.0
        self._alone = count == 1

    def compare(self, result: WindowResult, truth: Disparity | None) -> None:
        """Take one window in, with its ground truth if it has one."""
        if truth is not None:
            self.meter.add(result.disparity, truth)
        self.last = result
        if result.index == 0:
            self.first_s = result.seconds
        if result.index or self._alone:
            self.latency.add(result.window.t0_us, result.window.t1_us, result.seconds)

    def count(self, result: WindowResult) -> None:
        """Count the operations of the window if it is one of the picked ones."""
        if result.index in self._picked:
            searched_px = self._options.searched_px(self._network.config.max_disparity)
            limit = merged_size(searched_px, self._options.merge)
            # Counting runs the network again, which neurons that go on must not notice.
            with set_aside(self._network):
                self.energies.append(profile(self._network, result.left, result.right, limit))

    def pace(self) -> str:
        """Say whether real time is kept; nothing for what is no stream."""
        if not self._options.stream:
            return ""
        behind_s = self.latency.behind_s
        return f"{behind_s:.2f} s behind" if behind_s else "in real time"


def _truth(recording: Recording, window: Window) -> Disparity | None:
    """Return the ground truth at the end of a window."""
    return None if window.truth is None else recording.disparity(window.truth)


def _frame(view: View, result: WindowResult, truth: Disparity | None) -> Picture:
    """Draw one window."""
    return render(
        view,
        t_us=result.window.t1_us,
        events=result.events,
        disparity=result.disparity,
        truth=truth,
    )


def _view(
    recording: Recording,
    network: HybridStereo,
    windows: list[Window],
    options: InferOptions,
    fps: Fraction,
) -> View:
    """Say what stays the same over the video."""
    length_us = windows[0].t1_us - windows[0].t0_us
    speed = covered_us(windows) / 1e6 / float(len(windows) / fps)
    note = ", generated data" if options.generated else ""
    return View(
        title=f"{recording.name} ({recording.layout}{note})",
        subtitle=(
            f"network: {options.network_name}; {len(windows)} windows of {length_us / 1e3:g} ms; "
            f"playback {speed:.2g}x"
        ),
        width=recording.width,
        height=recording.height,
        start_us=recording.span_us[0],
        top_px=_top_px(recording, windows, options.searched_px(network.config.max_disparity)),
        calibration=recording.calibration,
        has_truth=any(window.truth is not None for window in windows),
    )


def _top_px(recording: Recording, windows: list[Window], searched_px: int) -> float:
    """Return the upper end of the colors: what ground truth reaches, else what is searched.

    A search is often much wider than the scene, which would leave all of it in a few colors.
    """
    stamps = [window.truth for window in windows if window.truth is not None]
    reached = 0.0
    for pick in sorted(spread(len(stamps), ENERGY_WINDOWS)):
        truth = recording.disparity(stamps[pick])
        if (truth > 0).any():
            reached = max(reached, float(np.quantile(truth[truth > 0], 0.995)))
    return float(min(searched_px, 8 * np.ceil(reached / 8))) if reached else float(searched_px)
