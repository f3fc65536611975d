"""The strict checker of a DSEC disparity submission: what the server would refuse or misread.

The server takes the images of a sequence in the order of their names and reads a PNG of any depth,
so that much that is wrong is scored without a word. Here everything that is wrong is listed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt16

from data.dsec.splits import TEST
from data.dsec.stamps import Submission
from data.errors import RecordingError
from data.png import decode_png, png_fault
from stereo.submission.files import IMAGE_SIZE, Entry, UnreadableError, image_name, opened
from stereo.submission.values import (
    Facts,
    Finding,
    error,
    judge_image,
    judge_sequence,
    measure,
    warning,
)

Progress = Callable[[int, int], None]

LEFTOVERS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What operating systems add by themselves."""

HERE = "."
"""Name of the submission itself."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a check found.

    Attributes:
        path: what was checked.
        complete: whether all test sequences were asked for.
        sequences: by name: ``wanted`` and ``found`` images, ``low_px``, ``median_px`` and
            ``high_px`` (medians of the percentiles 1, 50 and 99; None without a readable image).
        findings: everything, errors first, then by file.
    """

    path: Path
    complete: bool
    sequences: Mapping[str, Mapping[str, Any]]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Number of findings that the server would refuse or score wrongly."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of the others."""
        return len(self.findings) - self.errors

    def plus(self, findings: Iterable[Finding]) -> "CheckReport":
        """Return the report with more findings."""
        return replace(self, findings=in_order([*self.findings, *findings]))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "path": str(self.path.absolute()),
            "protocol": f"DSEC disparity test, {len(TEST)} sequences",
            "complete": self.complete,
            "images": sum(row["found"] for row in self.sequences.values()),
            "sequences": {name: dict(row) for name, row in self.sequences.items()},
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_submission(
    path: Path,
    wanted: Mapping[str, Submission],
    *,
    size: tuple[int, int] = IMAGE_SIZE,
    progress: Progress = lambda _done, _all: None,
) -> CheckReport:
    """Check a submission, a folder or a zip, against the official list.

    Args:
        path: folder or zip.
        wanted: the official list of each sequence that has to be there.
        size: rows and columns that every image must have.
        progress: called after every image with those done and all.

    Raises:
        StereoError: ``path`` is neither a folder nor a zip.
    """
    findings: list[Finding] = []
    absent = [name for name in TEST if name not in wanted]
    if absent:
        findings.append(
            warning(
                "partial",
                HERE,
                found=f"{len(wanted)} of {len(TEST)} test sequences asked for, without "
                f"{', '.join(absent)}",
                expected="all of them",
                remedy="The server refuses a part of a submission; add the others.",
            )
        )
    with opened(path) as entries:
        files = _usable(entries, wanted, findings)
        expected = {name: _names(rows) for name, rows in wanted.items()}
        findings += _structure(files, expected)
        total = sum(f"{s}/{f}" in files for s, names in expected.items() for f in names)
        done = 0
        sequences: dict[str, dict[str, Any]] = {}
        for name, names in expected.items():
            facts: dict[str, Facts] = {}
            for file in (f"{name}/{f}" for f in names):
                if file not in files:
                    continue
                image = _image(file, files[file], size, findings)
                if image is not None:
                    facts[file] = measure(image)
                    findings += judge_image(file, facts[file])
                done += 1
                progress(done, total)
            findings += judge_sequence(name, list(facts), list(facts.values()))
            sequences[name] = _row(name, names, files, list(facts.values()))
    return CheckReport(
        path=path, complete=not absent, sequences=sequences, findings=in_order(findings)
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with errors first, then by file."""
    return tuple(sorted(findings, key=lambda f: (f.severity, f.file, f.code, f.found)))


def _names(rows: Submission) -> list[str]:
    """Return the file names that a list asks for."""
    return [image_name(int(index)) for index in rows.file_index]


def _usable(
    entries: list[Entry], wanted: Mapping[str, Submission], findings: list[Finding]
) -> dict[str, Entry]:
    """Return the entries that may be read, by name; those that may not are findings."""
    files: dict[str, Entry] = {}
    for entry in entries:
        if entry.fault is not None:
            findings.append(
                _extra("unsafe", entry.name, entry.fault, "Remove it and make the zip again.")
            )
        elif entry.name in files:
            if not entry.is_folder:
                findings.append(
                    _extra("twice", entry.name, "a second file of this name", "Remove one of them.")
                )
        else:
            files[entry.name] = entry
    if set(files) & set(wanted) or any(name.split("/")[0] in wanted for name in files):
        return files
    tops = {name.split("/")[0] for name in files} - set(LEFTOVERS)
    inside = {name.split("/")[1] for name in files if "/" in name}
    if len(tops) != 1 or not inside & set(wanted):
        return files
    (top,) = tops
    findings.append(
        error(
            "enclosed",
            top,
            found="a folder around the sequences",
            expected="the sequences themselves at the top",
            remedy=f"Make the zip from within {top}.",
        )
    )
    return {name.removeprefix(f"{top}/"): entry for name, entry in files.items() if name != top}


def _structure(files: Mapping[str, Entry], expected: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Yield what is missing, additional or wrongly named."""
    if not files:
        yield error(
            "empty",
            HERE,
            found="nothing",
            expected=f"the folders {', '.join(expected)}",
            remedy="Write it with `stereo submit RUN --data DSEC --out FOLDER_OR_ZIP`.",
        )
    tops: dict[str, Entry] = {}
    for name, entry in files.items():
        tops.setdefault(name.split("/")[0], entry)
    present = {top for top, entry in tops.items() if entry.is_folder or entry.name != top}
    for top in tops:
        if top not in expected or top not in present:
            yield _additional_top(top, top in present, expected)
    for name, images in expected.items():
        if name not in present:
            yield error(
                "missing-sequence",
                name,
                found="no such folder",
                expected=f"a folder with {len(images)} images",
                remedy="Estimate this sequence too.",
            )
            continue
        inside = [n.removeprefix(f"{name}/") for n in files if n.startswith(f"{name}/")]
        yield from _sequence_structure(name, images, inside, files)


def _sequence_structure(
    name: str, images: list[str], inside: list[str], files: Mapping[str, Entry]
) -> Iterator[Finding]:
    """Yield what is missing or additional in the folder of one sequence."""
    plain = [file for file in inside if not files[f"{name}/{file}"].is_folder]
    if len(plain) != len(images):
        yield error(
            "count",
            name,
            found=f"{len(plain)} files",
            expected=f"{len(images)}, one for each row of the csv",
            remedy="The server refuses another number; see the files listed below this folder.",
        )
    counted = sorted(plain) == [image_name(k) for k in range(len(plain))] != images
    how = (
        "The images are numbered from 0 one by one; name row k of the csv after its file_index."
        if counted
        else "The server takes images in the order of their names, so one that is missing shifts "
        "all that follow; write it."
    )
    for file in images:
        if file not in inside:
            yield error(
                "missing",
                f"{name}/{file}",
                found="no such file",
                expected=f"{len(images)} images, {images[0]} to {images[-1]}, as the csv says",
                remedy=how,
            )
        elif files[f"{name}/{file}"].is_folder:
            yield _extra("additional", f"{name}/{file}", "a folder", "Put the image in its place.")
    for file in inside:
        if file not in images:
            folder = files[f"{name}/{file}"].is_folder
            found = "a folder" if folder else "a file that the csv does not ask for"
            yield _extra("additional", f"{name}/{file}", found, _renaming(file, images))


def _renaming(file: str, images: list[str]) -> str:
    """Return what to do with a file of another name."""
    path = PurePosixPath(file)
    if path.name.startswith(".") or path.parts[0] in LEFTOVERS or path.name in LEFTOVERS:
        return "Remove it; the system or a stopped program left it there."
    if path.suffix.lower() == ".png" and path.stem.isascii() and path.stem.isdecimal():
        name = image_name(int(path.stem[:12]))
        if name in images:
            return f"Name it {name}, with six digits."
        return f"Remove it, or give it the file_index of its row; asked for: {_some(images)}."
    if path.stem in {PurePosixPath(name).stem for name in images}:
        return "Remove it, and write the image as 16-bit grey PNG."
    return "Remove it."


def _some(images: list[str]) -> str:
    """Return a few names of many."""
    return ", ".join(images if len(images) <= 4 else [*images[:2], "...", images[-1]])


def _additional_top(top: str, folder: bool, expected: Mapping[str, list[str]]) -> Finding:
    """Return the finding about something at the top that is no wanted sequence."""
    twin = next((name for name in expected if name.casefold() == top.strip().casefold()), None)
    remedy = "Remove it."
    if top in expected:
        remedy = "Make it a folder of images."
    elif twin is not None:
        remedy = f"Name it {twin}."
    elif top in TEST:
        remedy = "Remove it, or check without leaving this sequence out."
    elif top in LEFTOVERS or top.startswith("."):
        remedy = "Remove it; the system or a stopped program left it there."
    found = "an additional folder" if folder else "a file at the top"
    return _extra("additional", top, found, remedy)


def _extra(code: str, file: str, found: str, remedy: str) -> Finding:
    """Return the finding about something that must not be there."""
    return error(
        code,
        file,
        found=found,
        expected="<sequence>/<file_index, six digits>.png and nothing else",
        remedy=remedy,
    )


def _image(
    file: str, entry: Entry, size: tuple[int, int], findings: list[Finding]
) -> UInt16[np.ndarray, "H W"] | None:
    """Return an image with 16 bits and the right size; else add why not and return None."""
    wanted = f"a 16-bit grey PNG of {size[0]} rows and {size[1]} columns"
    if entry.is_folder:
        return None
    code, remedy = "format", "Write disparity * 256 as uint16 with one channel."
    try:
        data = entry.read()
        fault = png_fault(data)
        if fault is None:
            stored = decode_png(data, source=file, wanted=wanted)
            if stored.dtype == np.uint16 and stored.shape == size:
                return stored.astype(np.uint16, copy=False)
            fault = (
                f"{8 * stored.itemsize}-bit grey of {stored.shape[0]} rows and {stored.shape[1]} "
                "columns"
            )
            if stored.dtype == np.uint16:
                code = "size"
                remedy = "Estimate at full resolution in the rectified view of the left camera."
        if any(word in fault for word in ("cut off", "damaged", "0 bytes")):
            code, remedy = "damaged", "Write or copy it again."
    except UnreadableError as reason:
        fault, code, remedy = str(reason), "unreadable", "Write or copy it again."
    except RecordingError:
        fault, code = "a PNG image that cannot be decoded", "damaged"
        remedy = "Write or copy it again."
    findings.append(error(code, file, found=fault, expected=wanted, remedy=remedy))
    return None


def _row(
    name: str, names: list[str], files: Mapping[str, Entry], facts: list[Facts]
) -> dict[str, Any]:
    """Return the line of a sequence in the report."""
    found = sum(n.startswith(f"{name}/") and not entry.is_folder for n, entry in files.items())
    keys = ("low_px", "median_px", "high_px")
    middle = {
        key: float(np.median([getattr(f, key) for f in facts])) if facts else None for key in keys
    }
    return {"wanted": len(names), "found": found, "readable": len(facts), **middle}
