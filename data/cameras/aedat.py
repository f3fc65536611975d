"""iniVation's AEDAT4 files, through the ``aedat`` package that Tonic uses too.

Install it with ``pip install '.[aedat]'`` in the folder of this project. The older ``.aedat``
(versions 2 and 3) hold addresses whose meaning depends on the camera; they are refused with a
sentence.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from data.cameras import aedat_child
from data.cameras.columns import CameraEvents, from_columns, stated_size
from data.errors import RecordingError

SLOWEST_BYTES_PER_S = 1_000_000
"""A decoder slower than this, plus ``PATIENCE_S``, is stopped: it hangs on a damaged file."""

PATIENCE_S = 60.0


def read_aedat4(path: Path) -> CameraEvents:
    """Read the first event stream of an AEDAT4 file; events of others are counted.

    Raises:
        RecordingError: the package is missing, or the file is damaged or has no events.
    """
    with tempfile.TemporaryDirectory(prefix="stereo-aedat-") as folder:
        target = Path(folder) / "events.bin"
        answer = _decode(path, target)
        records: Any = np.empty(0, aedat_child.PACKED)
        if target.is_file() and target.stat().st_size:
            records = np.memmap(target, aedat_child.PACKED, mode="r")
        if records.size == 0:
            raise RecordingError(
                f"{path} holds no events ({answer.get('streams', 0)} event streams). Expected an "
                "AEDAT4 file with one stream of events; check what was recorded."
            )
        found = from_columns(
            {name: records[name] for name in "txyp"}, where=str(path), format_name="aedat4"
        )
        del records
    others = int(answer["others"])
    return CameraEvents(
        format=found.format,
        t=found.t,
        x=found.x,
        y=found.y,
        p=found.p,
        size=stated_size(answer["width"], answer["height"], path),
        skipped={"events of other streams": others} if others else {},
    )


def refuse_old_aedat(path: Path) -> CameraEvents:
    """Refuse AEDAT versions 1 to 3.

    Raises:
        RecordingError: always.
    """
    raise RecordingError(
        f"{path} is an AEDAT file older than version 4, whose addresses mean something else for "
        "every camera model. Convert it to AEDAT4 (DV does), or to an .npz with columns t, x, y, p "
        "(tonic.io has readers for some cameras)."
    )


def _decode(path: Path, target: Path) -> dict[str, Any]:
    """Run the decoder in a child process; return its answer."""
    limit_s = PATIENCE_S + path.stat().st_size / SLOWEST_BYTES_PER_S
    command = [sys.executable, "-P", aedat_child.__file__, str(path), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
        answer = json.loads(done.stdout) if done.returncode == 0 else {"error": _last_words(done)}
    except subprocess.TimeoutExpired:
        answer = {"error": f"no end after {limit_s:.0f} s"}
    except ValueError as error:
        answer = {"error": str(error)}
    if "missing" in answer:
        raise RecordingError(
            f"{path} is an AEDAT4 file, for which the package 'aedat' is needed. Install it with "
            "pip install '.[aedat]' in the folder of this project."
        )
    if "error" in answer:
        raise RecordingError(
            f"{path} cannot be decoded as AEDAT4 ({answer['error']}). The file is truncated or "
            "damaged; copy or record it again."
        )
    return dict(answer)


def _last_words(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return why a decoder ended, from what it wrote: the line after Rust's word of panic."""
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    told = [after for line, after in itertools.pairwise(lines) if "panicked at" in line]
    return (told[0] if told else f"the decoder ended with code {done.returncode}").strip()[:200]
