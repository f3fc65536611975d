"""The file of one sample: a checksum, a description as JSON, and packed arrays."""

import json
import struct
import zlib

import torch

from data.packing import PackingError, pack, unpack
from data.sample import StereoSample

MAGIC = b"stereo-sample\n"
HEAD = struct.Struct("<II")
"""Checksum of all that follows, and length of the description that follows first."""

ARRAYS = ("left", "right", "disparity", "valid")


def encode(sample: StereoSample, name: str, compression: int = 0) -> bytes:
    """Return a sample as the content of its file.

    Args:
        sample: its ``meta`` must be such that JSON can hold it.
        name: of the sample; a file under another name is not taken for it.
        compression: level of zlib, 0 for none.
    """
    packed = {field: pack(getattr(sample, field).numpy()) for field in ARRAYS}
    parts = [part for field in ARRAYS for part in packed[field][1]]
    if compression:
        parts = [zlib.compress(part, compression) for part in parts]
    about = {
        "name": name,
        "t_us": sample.t_us,
        "meta": dict(sample.meta),
        "arrays": [packed[field][0] for field in ARRAYS],
        "zlib": compression > 0,
        "stored": [len(part) for part in parts],
    }
    text = json.dumps(about).encode()
    body = b"".join([text, *parts])
    return MAGIC + HEAD.pack(zlib.crc32(body), len(text)) + body


def decode(content: bytes, name: str) -> StereoSample:
    """Return the sample that ``encode`` was given.

    Raises:
        PackingError: content that is damaged or belongs to another name.
    """
    start = len(MAGIC) + HEAD.size
    if content[: len(MAGIC)] != MAGIC or len(content) < start:
        raise PackingError("This is no sample file, or it was cut short.")
    checksum, length = HEAD.unpack_from(content, len(MAGIC))
    body = memoryview(content)[start:]
    if zlib.crc32(body) != checksum:
        raise PackingError("The checksum does not fit.")
    try:
        return _read(body, length, name)
    except (KeyError, ValueError, TypeError, OverflowError, zlib.error) as error:
        raise PackingError(f"The description does not fit ({error}).") from error


def _read(body: memoryview, length: int, name: str) -> StereoSample:
    """Return the sample of a body whose description has a length."""
    about = json.loads(bytes(body[:length]))
    if about["name"] != name:
        raise PackingError("This is another sample.")
    parts: list[bytes | memoryview] = []
    for size in about["stored"]:
        part = body[length : length + size]
        parts.append(zlib.decompress(part) if about["zlib"] else part)
        length += size
    arrays = {
        field: torch.from_numpy(unpack(one, parts[2 * k], parts[2 * k + 1]))
        for k, (field, one) in enumerate(zip(ARRAYS, about["arrays"], strict=True))
    }
    return StereoSample(**arrays, t_us=about["t_us"], meta=about["meta"])
