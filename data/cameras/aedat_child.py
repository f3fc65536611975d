"""Decode one AEDAT4 file in a process of its own: run as a script by ``data.cameras.aedat``.

The ``aedat`` package is compiled Rust, and on some damaged files it does not raise but ends the
process. Here it can take down nobody else. Imports nothing of this project, so that it starts fast.
"""

import json
import sys
from pathlib import Path

import numpy as np

PACKED = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
"""One event in the file that the parent reads."""


def decode(source: str, target: str) -> dict[str, object]:
    """Write the events of the first event stream to ``target``; return what the header says.

    Args:
        source: an AEDAT4 file.
        target: file to write, ``PACKED`` records one after another.
    """
    import aedat  # an optional extra, imported where it is needed

    decoder = aedat.Decoder(source)
    streams = {
        number: stream
        for number, stream in decoder.id_to_stream().items()
        if stream["type"] == "events"
    }
    if not streams:
        return {"streams": 0}
    chosen = min(streams)
    others = 0
    with Path(target).open("wb") as file:
        for packet in decoder:
            if "events" not in packet:
                continue
            if packet["stream_id"] != chosen:
                others += len(packet["events"])
                continue
            events = packet["events"]
            packed = np.empty(len(events), PACKED)
            packed["t"], packed["x"], packed["y"] = events["t"], events["x"], events["y"]
            packed["p"] = events["on"]
            file.write(packed.tobytes())
    stream = streams[chosen]
    return {
        "streams": len(streams),
        "width": int(stream["width"]),
        "height": int(stream["height"]),
        "others": others,
    }


def run() -> None:
    """Decode the file named on the command line; the answer is one JSON line."""
    try:
        answer = decode(sys.argv[1], sys.argv[2])
    except ModuleNotFoundError as error:
        answer = {"missing": str(error)}
    except Exception as error:  # noqa: BLE001  (the parent turns it into its own error)
        answer = {"error": " ".join(str(error).split())}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    run()
