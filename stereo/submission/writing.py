"""The job ``stereo submit``: the disparity that the DSEC benchmark asks for, as it asks for it.

The network runs at every stamp of the official csv of each test sequence, on the events of the
window before it. What is there already stays, as long as network, settings and events are the same:
``OUT.json`` beside the submission says what every image was made from.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.dsec import DsecRecording
from data.dsec.layout import SequencePaths
from data.dsec.splits import TEST
from data.dsec.stamps import Submission
from data.identity import digest
from data.recording import CAMERAS, is_generated
from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.output import stored_disparity
from stereo.stream import WindowResult, run_windows
from stereo.submission.checking import CheckReport, check_submission
from stereo.submission.files import IMAGE_SIZE, image_name, official_list, sequences_on_disk
from stereo.submission.store import SubmissionStore
from stereo.submission.values import Finding, warning
from stereo.windows import Window

Progress = Callable[[int, int], None]
Stages = Callable[[str], Progress]


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """What to write.

    Attributes:
        network_name: the network as the user named it.
        sequences: of the official test sequences; a part of them cannot be submitted.
        window_us: length of a window; None for the length that the network was trained with.
        max_disparity: largest disparity searched, pixels; None for the network's.
        precision: that the network runs in; results of another one are computed again.
        size: rows and columns of the sensors and images.

    Raises:
        StereoError: an unknown sequence, or a length below 1.
    """

    network_name: str = "shipped"
    sequences: tuple[str, ...] = TEST
    window_us: int | None = None
    max_disparity: int | None = None
    precision: str = "32-true"
    size: tuple[int, int] = IMAGE_SIZE

    def __post_init__(self) -> None:
        """Refuse what gives no submission."""
        unknown = [name for name in self.sequences if name not in TEST]
        if unknown or not self.sequences:
            raise StereoError(
                f"{', '.join(unknown) or 'An empty list'} is no test sequence of DSEC. Known: "
                f"{', '.join(TEST)}."
            )
        for name in ("window_us", "max_disparity"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise StereoError(f"A submission needs {name} of at least 1, got {value}.")


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The outcome of ``write_submission``.

    Attributes:
        document: what ``--json`` prints.
        check: of the whole submission, with what is suspicious about its windows.
    """

    document: dict[str, Any]
    check: CheckReport


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """What is to be estimated in one sequence.

    Attributes:
        paths: where it lies.
        wanted: its official list.
        span_us: first and last event time of both cameras.
        source: what stands for its events and its list.
        findings: what is suspicious about it as a whole.
    """

    paths: SequencePaths
    wanted: Submission
    span_us: tuple[int, int]
    source: str
    findings: tuple[Finding, ...]


def write_submission(
    data: Path,
    network: HybridStereo,
    out: Path,
    options: SubmitOptions,
    stage: Stages = lambda _name: lambda _done, _all: None,
) -> Submitted:
    """Write a submission, or what is missing of it, and check the result.

    Args:
        data: folder of the data set, in any arrangement.
        network: in eval mode, on its device.
        out: a folder, or a ``.zip``.
        options: what to write.
        stage: called with ``Estimating`` and ``Checking``; returns what is called after every
            image with the images done and all images of this stage.

    Raises:
        RecordingError: a recording or csv that is damaged.
        StereoError: sequences that are missing or of another size, a csv that does not belong to
            its recording, a network that estimates NaN, or ``out`` is something else.
    """
    window_us = options.window_us or network.config.window_us
    jobs = _plan(data, options, window_us)
    identity = {
        "network": network_digest(network),
        "window_us": window_us,
        "max_disparity": options.max_disparity or network.config.max_disparity,
        "precision": options.precision,
    }
    store = SubmissionStore(out, identity, options.network_name)
    began = time.perf_counter()
    total = _fill(store, jobs, network, identity, stage("Estimating"))
    images_per_s = total / (time.perf_counter() - began) if total else None
    store.finish()
    written = store.sequences()
    wanted = official_list(data, written)
    check = check_submission(out, wanted, size=options.size, progress=stage("Checking"))
    check = check.plus([f for job in jobs for f in job.findings])
    check = check.plus(_window_findings(store.images(), window_us))
    document = {
        **check.to_dict(),
        "record": str(store.record.absolute()),
        "network": options.network_name,
        "identity": identity,
        "computed": total,
        "images_per_s": images_per_s,
        "kept": sum(len(job.wanted) for job in jobs) - total,
    }
    return Submitted(document=document, check=check)


def network_digest(network: HybridStereo) -> str:
    """Return 64 hexadecimal digits that stand for weights, genotype and configuration."""
    described = [network.config.to_dict(), network.genotype.to_dict()]
    seen = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        seen.update(f"\0{name} {value.dtype} {tuple(value.shape)}\0".encode())
        seen.update(flat.numpy().tobytes())
    return seen.hexdigest()


def _fill(
    store: SubmissionStore,
    jobs: Sequence[_Job],
    network: HybridStereo,
    identity: Mapping[str, Any],
    advance: Progress,
) -> int:
    """Estimate what is missing; return how many images that were."""
    missing: list[list[int]] = []
    for job in jobs:
        name = job.paths.name
        store.begin(name, job.source)
        files = [image_name(int(index)) for index in job.wanted.file_index]
        missing.append([k for k, file in enumerate(files) if not store.holds(name, file)])
    total, done = sum(map(len, missing)), 0
    for job, rows in zip(jobs, missing, strict=True):
        for _ in _estimate(job, rows, network, store, identity):
            done += 1
            advance(done, total)
    return total


def _plan(data: Path, options: SubmitOptions, window_us: int) -> list[_Job]:
    """Open every sequence once, so that what is missing or damaged shows before hours of work."""
    found = sequences_on_disk(data) if data.is_dir() else {}
    lists = official_list(data, options.sequences, found)
    absent = [name for name in options.sequences if name not in found]
    if absent:
        raise StereoError(
            f"{data} lacks the events of {', '.join(absent)}. A submission needs all "
            f"{len(TEST)} test sequences; add them, or name those that you have with --sequence."
        )
    return [_job(found[name], lists[name], options.size, window_us) for name in options.sequences]


def _job(paths: SequencePaths, wanted: Submission, size: tuple[int, int], window_us: int) -> _Job:
    """Look whether a sequence and its list belong together."""
    with closing(DsecRecording(paths)) as recording:
        if (recording.height, recording.width) != size:
            raise StereoError(
                f"{paths.folder} has sensors of {recording.height} rows and {recording.width} "
                f"columns. The benchmark wants {size[0]} rows and {size[1]} columns; give the "
                "data set itself."
            )
        first, last = recording.span_us
        stamps = recording.image_t_us
    if wanted.t_us[-1] <= first or wanted.t_us[0] - window_us > last:
        raise StereoError(
            f"The csv of {paths.name} asks for {wanted.t_us[0]} to {wanted.t_us[-1]} us, but its "
            f"events run from {first} to {last} us. Expected the csv of this sequence; "
            "unpack both again."
        )
    files = [*paths.events.values(), *paths.maps.values(), paths.calibration]
    return _Job(
        paths=paths,
        wanted=wanted,
        span_us=(first, last),
        source=digest([wanted.to_csv(), *(_state(path) for path in files)]),
        findings=tuple(_doubts(paths, wanted, stamps)),
    )


def _state(path: Path | None) -> list[int] | None:
    """Return size and time of change of a file; None without it."""
    if path is None or not path.is_file():
        return None
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _doubts(
    paths: SequencePaths, wanted: Submission, stamps: "np.ndarray[Any, np.dtype[np.int64]]"
) -> Iterator[Finding]:
    """Yield what is suspicious about a sequence before anything is estimated."""
    if is_generated(paths.folder):
        yield warning(
            "generated",
            paths.name,
            found="generated data",
            expected="the recording of the data set",
            remedy="This is no submission; it shows that everything works.",
        )
    known = wanted.file_index < stamps.size
    wrong = np.flatnonzero(stamps[wanted.file_index[known]] != wanted.t_us[known])
    if wrong.size:
        index = int(wanted.file_index[known][wrong[0]])
        yield warning(
            "stamps",
            paths.name,
            found=f"{wrong.size} stamps of the csv that are not those of the frames that they "
            f"name, the first at file_index {index}",
            expected="the same stamps in both",
            remedy="Unpack the csv and images/timestamps.txt again; the csv was followed.",
        )


def _estimate(
    job: _Job,
    rows: Sequence[int],
    network: HybridStereo,
    store: SubmissionStore,
    identity: Mapping[str, Any],
) -> Iterator[None]:
    """Estimate and keep the images of some rows of the list; yield after each."""
    if not rows:
        return
    length, (first, last) = identity["window_us"], job.span_us
    ends = [int(job.wanted.t_us[k]) for k in rows]
    windows = [Window(t0_us=end - length, t1_us=end) for end in ends]
    with DsecRecording(job.paths) as recording:
        results = run_windows(recording, network, windows, max_disparity=identity["max_disparity"])
        for k, result in zip(rows, results, strict=True):
            window = result.window
            about = {
                "t_us": window.t1_us,
                "before_us": min(length, max(0, first - window.t0_us)),
                "after_us": min(length, max(0, window.t1_us - (last + 1))),
                "empty": _empty(result),
            }
            file = image_name(int(job.wanted.file_index[k]))
            store.add(job.paths.name, file, stored_disparity(result.disparity), about)
            yield


def _empty(result: WindowResult) -> list[str]:
    """Return the cameras of which the network saw no event."""
    seen = zip(CAMERAS, (result.left, result.right), strict=True)
    return [camera for camera, events in seen if not bool(events.any())]


def _window_findings(images: Mapping[str, Mapping[str, Any]], window_us: int) -> Iterator[Finding]:
    """Yield what is suspicious about the windows of events that images were made from."""
    for file, about in images.items():
        for key, code, where in (
            ("before_us", "early-window", "begins {} ms before the recording"),
            ("after_us", "late-window", "ends {} ms after the recording"),
        ):
            if about[key]:
                yield warning(
                    code,
                    file,
                    found=f"a window that {where.format(f'{about[key] / 1e3:g}')}",
                    expected=f"{window_us / 1e3:g} ms of events",
                    remedy="The estimate was made from the events that there are.",
                )
        if about["empty"]:
            yield warning(
                "no-events",
                file,
                found=f"no event of the {' and '.join(about['empty'])} camera in its window",
                expected="events of both cameras",
                remedy="Look whether the recording is whole; the estimate means nothing.",
            )
