"""Where a submission is kept while it is written, and what makes it resumable.

The record ``OUT.json`` lies beside the submission, because the server refuses additional files. It
holds what the images depend on and the SHA-256 of each. Images of a zip are gathered in
``OUT.parts`` until all are there; then the zip is written at once and that folder goes.
"""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16

from stereo.atomic import write_json, write_png
from stereo.errors import StereoError
from stereo.submission.files import LARGEST_FILE, write_zip

COMMAND = "stereo submit"

UNFINISHED = re.compile(r"\.\d{6}\.\d+\.png")
"""What a killed process leaves of an image."""


class SubmissionStore:
    """The images of a submission and the record of their origin.

    Args:
        out: a folder, or a ``.zip``; made if missing.
        identity: what every image depends on; images of another identity are removed.
        network_name: for the record.

    Attributes:
        record: path of the record.

    Raises:
        StereoError: ``out`` holds something that this class did not write, or cannot be written.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any], network_name: str) -> None:
        self.out = out
        self.is_zip = out.suffix.lower() == ".zip"
        self.record = out.with_name(f"{out.name}.json")
        self._folder = out.with_name(f"{out.name}.parts") if self.is_zip else out
        fresh = {
            "command": COMMAND, "complete": False, "network": network_name,
            "identity": dict(identity), "sequences": {},
        }  # fmt: skip
        try:
            old = self._old_record()
            kept = old is not None and old["identity"] == fresh["identity"]
            self._record: dict[str, Any] = old if old is not None and kept else fresh
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("*/.*.png"):
                if UNFINISHED.fullmatch(path.name):
                    path.unlink()
            if old is not None and not kept:
                for name, sequence in old["sequences"].items():
                    self._remove(name, sequence)
            self._record["complete"] = False
            self._record["network"] = network_name
            self._save()
        except OSError as error:
            raise StereoError(
                f"The submission cannot be written to {out} ({error}). Give a folder, or a name "
                "that ends in .zip, that you may write to with --out."
            ) from error

    def begin(self, sequence: str, source: str) -> None:
        """Name the recording of a sequence; images of another recording are removed.

        Args:
            sequence: its name.
            source: what stands for its events and stamps.
        """
        old = self._record["sequences"].get(sequence)
        if old is not None and old["source"] == source:
            return
        if old is not None:
            self._remove(sequence, old)
        self._record["sequences"][sequence] = {"source": source, "images": {}}
        self._save()

    def holds(self, sequence: str, file: str) -> bool:
        """Return whether an image is there, as it was written."""
        about = self._record["sequences"][sequence]["images"].get(file)
        if about is None:
            return False
        content = self._content(sequence, file, about["sha256"])
        if content is None:
            del self._record["sequences"][sequence]["images"][file]
        return content is not None

    def add(
        self, sequence: str, file: str, image: UInt16[np.ndarray, "H W"], about: Mapping[str, Any]
    ) -> None:
        """Write an image, and then that it is there.

        Args:
            sequence: its name.
            file: name of the image in the folder of the sequence.
            image: ``[H, W]`` disparity times 256.
            about: what the record says about it.
        """
        path = self._folder / sequence / file
        path.parent.mkdir(exist_ok=True)
        write_png(path, image)
        seen = hashlib.sha256(path.read_bytes()).hexdigest()
        self._record["sequences"][sequence]["images"][file] = {**about, "sha256": seen}
        self._save()

    def finish(self) -> None:
        """Write the zip, if it is one, and mark the record as complete."""
        names = sorted(self.images())
        if self.is_zip:
            parts = [path for path in self._folder.rglob("*") if path.is_file()]
            if parts or self._zipped_names() != names:
                write_zip(self.out, ((name, self._whole(name)) for name in names))
            shutil.rmtree(self._folder)
        self._record["complete"] = True
        self._save()

    def sequences(self) -> list[str]:
        """Return the sequences that have images."""
        return [name for name, rows in self._record["sequences"].items() if rows["images"]]

    def images(self) -> dict[str, dict[str, Any]]:
        """Return what is known about each image, by its name in the submission."""
        return {
            f"{sequence}/{file}": about
            for sequence, rows in self._record["sequences"].items()
            for file, about in rows["images"].items()
        }

    def _whole(self, name: str) -> bytes:
        """Return the content of an image for the zip.

        Raises:
            StereoError: it is gone or has been changed since it was written.
        """
        sequence, file = name.split("/")
        content = self._content(sequence, file, self.images()[name]["sha256"])
        if content is None:
            raise StereoError(
                f"{name} of {self.out} is gone or was changed. Run the command again, also for "
                f"{sequence}; only what is missing is computed."
            )
        return content

    def _content(self, sequence: str, file: str, sha256: str) -> bytes | None:
        """Return an image from the folder or the zip; None if it is not what was written."""
        path = self._folder / sequence / file
        if path.is_file() and path.stat().st_size <= LARGEST_FILE:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
        if not self.is_zip:
            return None
        # Opened for each image: a zip that is open could not be replaced on every system.
        try:
            with zipfile.ZipFile(self.out) as archive:
                content = archive.read(f"{sequence}/{file}")
        except (OSError, KeyError, zipfile.BadZipFile):
            return None
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def _zipped_names(self) -> list[str] | None:
        """Return what is in the zip; None if there is none."""
        try:
            with zipfile.ZipFile(self.out) as archive:
                return archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return None

    def _remove(self, sequence: str, rows: Mapping[str, Any]) -> None:
        """Remove the images of a sequence that the record says are ours."""
        folder = self._folder / sequence
        for file in rows["images"]:
            (folder / file).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()

    def _old_record(self) -> dict[str, Any] | None:
        """Return the record of an earlier run; None if there is nothing at all.

        Raises:
            StereoError: there is something that is not ours.
        """
        if self.record.exists():
            try:
                document = json.loads(self.record.read_text("utf-8"))
                if document["command"] == COMMAND and _is_record(document):
                    return dict(document)
            except (ValueError, KeyError, TypeError):
                pass
            raise StereoError(
                f"{self.record} is not the record of a submission, or it is damaged. Move it away, "
                "or give another name with --out."
            )
        there = any(self.out.iterdir()) if self.out.is_dir() else self.out.exists()
        if there:
            raise StereoError(
                f"{self.out} exists already, without the record {self.record.name} of an earlier "
                "run beside it. Remove it, or give another name with --out."
            )
        return None

    def _save(self) -> None:
        """Write the record."""
        write_json(self.record, self._record)


def _is_record(document: Mapping[str, Any]) -> bool:
    """Tell whether a document is shaped like a record, and names no file outside of its folder."""
    return isinstance(document["identity"], dict) and all(
        re.fullmatch(r"\w+", sequence)
        and isinstance(rows["source"], str)
        and all(
            re.fullmatch(r"\d{6}\.png", file)
            and isinstance(about["sha256"], str)
            and isinstance(about["before_us"] + about["after_us"], int)
            and isinstance(about["empty"], list)
            for file, about in rows["images"].items()
        )
        for sequence, rows in document["sequences"].items()
    )
