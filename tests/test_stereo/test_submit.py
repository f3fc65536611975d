"""`stereo submit`: what is written, what is resumed, and everything that the checker refuses."""

import json
import os
import re
import shutil
import stat
import struct
import tracemalloc
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.commands import call, check_refusal
from reference.pairs import OFFSET_US, small_pair

from data.dsec import DsecRecording
from data.dsec.splits import TEST
from data.dsec.stamps import Submission
from data.dsec.writer import write_dsec
from data.png import png_fault, read_png
from stereo.atomic import write_png
from stereo.checkpoint import load_network, save_network
from stereo.errors import StereoError
from stereo.network import HybridStereo
from stereo.output import stored_disparity
from stereo.presets import PRESETS
from stereo.stream import run_windows
from stereo.submission.checking import check_submission
from stereo.submission.files import official_list, write_zip
from stereo.submission.writing import SubmitOptions, network_digest, write_submission
from stereo.windows import Window

SIZE = (48, 64)
NAMES = ("thun_01_a", "zurich_city_14_c")
INDICES = (20, 40, 60)


def rows(*t_us, indices=INDICES):
    return Submission(t_us=np.array(t_us), file_index=np.array(indices))


def street(seed, size=SIZE):
    """Return disparity as it looks from a car: 3 px at the horizon and above, 40 px in front."""
    rng = np.random.default_rng(seed)
    below = np.clip(np.linspace(-0.85, 1, size[0]), 0, None)[:, None]
    return (3 + 37 * below + rng.uniform(0, 2, size)).astype(np.float32)


def encoded(image):
    return cv2.imencode(".png", image)[1].tobytes()


def errors(report):
    return [finding for finding in report.findings if finding.severity == "error"]


# A data set, written


@pytest.fixture(scope="module")
def dsec_test(tmp_path_factory):
    """Write two tiny test sequences; the first stamp of the first is too early for a window."""
    root = tmp_path_factory.mktemp("dsec")
    for seed, name in enumerate(NAMES):
        truthless = {
            "disparity": np.zeros((0, *SIZE), np.float32),
            "disparity_t_us": np.empty(0, int),
        }
        wanted = rows(30_000 if seed == 0 else 90_000, 170_000, 250_000)
        write_dsec(root / "test" / name, **small_pair(seed) | truthless, submission=wanted)
    return root


def lively(seed):
    """Return an untrained network whose neurons fire, so that its estimates are no constant."""
    torch.manual_seed(seed)
    network = HybridStereo(PRESETS["tiny"]()).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
                module.weight.mul_(10)
    return network


@pytest.fixture(scope="module")
def network():
    return lively(0)


OPTIONS = SubmitOptions(sequences=NAMES, size=SIZE)


@pytest.fixture(scope="module")
def written(dsec_test, network, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "folder"
    return out, write_submission(dsec_test, network, out, OPTIONS)


def test_images_are_those_of_the_stream_at_the_stamps_of_the_csv(written, dsec_test, network):
    out, _ = written
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert files == [f"{name}/{index:06d}.png" for name in NAMES for index in INDICES]
    with DsecRecording(dsec_test / "test" / NAMES[1]) as recording:
        for k, index in enumerate(INDICES):
            end = OFFSET_US + (90_000, 170_000, 250_000)[k]
            window = Window(t0_us=end - network.config.window_us, t1_us=end)
            (result,) = run_windows(recording, network, [window])
            found = read_png(out / NAMES[1] / f"{index:06d}.png", wanted="an image")
            assert found.dtype == np.uint16
            assert np.abs(found / 256 - result.disparity).max() <= 1 / 512
            assert np.ptp(found) > 256


def test_windows_that_begin_before_the_recording_are_reported(written):
    _, submitted = written
    (early,) = (f for f in submitted.check.findings if f.code == "early-window")
    assert early.file == f"{NAMES[0]}/000020.png"
    assert early.severity == "warning"
    assert "begins 20 ms before the recording" in early.found
    assert early.expected == "50 ms of events"


def test_the_document_says_what_was_made_from_what(written, network):
    out, submitted = written
    document = submitted.document
    assert (document["computed"], document["kept"], document["images"]) == (6, 0, 6)
    assert document["identity"]["network"] == network_digest(network)
    assert document["complete"] is False
    assert {f.code for f in submitted.check.findings} >= {"partial", "early-window"}
    record = json.loads((out.parent / "folder.json").read_text())
    assert record["complete"] is True
    assert document["record"] == str(out.parent / "folder.json")
    json.dumps(document, allow_nan=False)


def test_a_zip_made_sequence_by_sequence_is_the_same_zip(written, dsec_test, network, tmp_path):
    folder, at_once = written
    for name in NAMES:
        part = SubmitOptions(sequences=(name,), size=SIZE)
        last = write_submission(dsec_test, network, tmp_path / "a.zip", part)
    assert last.document["sequences"] == at_once.document["sequences"]
    assert (last.document["computed"], last.document["images"]) == (3, 6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "a.zip.json"]
    again = zipped(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == again.read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == [f"{n}/{index:06d}.png" for n in NAMES for index in INDICES]
        for info in archive.infolist():
            assert archive.read(info) == (folder / info.filename).read_bytes()
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == stat.S_IFREG | 0o644


# Resuming


class Stopped(Exception):
    pass


def stop_after(count):
    """Return a function of stages that stops the estimation like a kill."""

    def advance(done, _total):
        if done == count:
            raise Stopped

    return lambda name: advance if name == "Estimating" else lambda _done, _all: None


@pytest.mark.parametrize("name", ["folder", "a.zip"])
def test_a_stopped_run_goes_on_and_gives_the_same(name, written, dsec_test, network, tmp_path):
    out, options = tmp_path / name, SubmitOptions(sequences=NAMES[:1], size=SIZE)
    with pytest.raises(Stopped):
        write_submission(dsec_test, network, out, options, stop_after(2))
    assert json.loads((tmp_path / f"{name}.json").read_text())["complete"] is False
    assert out.exists() == (name == "folder")
    again = write_submission(dsec_test, network, out, options)
    assert (again.document["computed"], again.document["kept"]) == (1, 2)
    row = written[1].document["sequences"][NAMES[0]]
    assert again.document["sequences"] == {NAMES[0]: row}
    # The early window was estimated before the stop and is reported all the same.
    assert {f.code for f in again.check.findings} >= {"early-window"}
    before = out.stat().st_mtime_ns
    third = write_submission(dsec_test, network, out, options)
    assert (third.document["computed"], third.document["images_per_s"]) == (0, None)
    assert out.stat().st_mtime_ns == before
    assert third.check.findings == again.check.findings


@pytest.fixture
def copy(written, tmp_path):
    """Return a copy of the written submission, free to be damaged."""
    shutil.copytree(written[0], tmp_path / "folder")
    shutil.copy(written[0].parent / "folder.json", tmp_path)
    return tmp_path / "folder"


def test_other_weights_are_computed_again_and_old_images_go_first(copy, dsec_test):
    other = lively(1)
    with pytest.raises(Stopped):
        write_submission(dsec_test, other, copy, OPTIONS, stop_after(1))
    assert [p.relative_to(copy).as_posix() for p in copy.rglob("*.png")] == [
        f"{NAMES[0]}/000020.png"
    ]


@pytest.mark.parametrize("change", [{"window_us": 40_000}, {"max_disparity": 9}])
def test_other_settings_are_computed_again(change, copy, dsec_test, network):
    options = SubmitOptions(sequences=NAMES, size=SIZE, **change)
    with pytest.raises(Stopped):
        write_submission(dsec_test, network, copy, options, stop_after(1))
    assert len(list(copy.rglob("*.png"))) == 1


def test_what_was_changed_or_left_over_is_written_again(copy, written, dsec_test, network):
    good = (copy / NAMES[0] / "000040.png").read_bytes()
    (copy / NAMES[0] / "000040.png").write_bytes(good[:-1])
    (copy / NAMES[0] / "000060.png").unlink()
    (copy / NAMES[1] / ".000040.123.png").write_bytes(b"")
    again = write_submission(dsec_test, network, copy, OPTIONS)
    assert again.document["computed"] == 2
    assert (copy / NAMES[0] / "000040.png").read_bytes() == good
    assert again.check.findings == written[1].check.findings


def touched(folder):
    os.utime(folder / "events" / "left" / "events.h5", (1, 1))


def shifted(folder):
    later = Submission(t_us=OFFSET_US + np.array([91_000, 250_000]), file_index=np.array([20, 60]))
    (folder / f"{folder.name}.csv").write_text(later.to_csv())


@pytest.mark.parametrize("change", [touched, shifted])
def test_images_of_other_events_or_stamps_go_first(change, copy, dsec_test, network, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(dsec_test, data)
    change(data / "test" / NAMES[1])
    with pytest.raises(Stopped):
        write_submission(data, network, copy, OPTIONS, stop_after(1))
    assert len(list((copy / NAMES[0]).iterdir())) == 3
    assert [path.name for path in (copy / NAMES[1]).iterdir()] == ["000020.png"]


# What cannot be written


def test_what_is_not_ours_is_left_alone(dsec_test, network, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "mine.zip").write_text("x")
    (tmp_path / "bad.json").write_text('{"command": "stereo submit", "sequences": {"..": 1}}')
    for name, words in (
        ("full", "exists already, without the record full.json"),
        ("mine.zip", "exists already"),
        ("bad", "not the record of a submission"),
        ("full/mine.txt/out", "cannot be written"),
    ):
        with pytest.raises(StereoError, match=words):
            write_submission(dsec_test, network, tmp_path / name, OPTIONS)
    assert (tmp_path / "full" / "mine.txt").read_text() == "x"
    assert (tmp_path / "mine.zip").read_text() == "x"


def test_estimates_of_nan_are_refused_and_never_written(dsec_test, tmp_path):
    broken = lively(0)
    with torch.no_grad():
        broken.matching.score.bias.fill_(float("nan"))
    with pytest.raises(StereoError, match="NaN or infinity"):
        write_submission(dsec_test, broken, tmp_path / "out", OPTIONS)
    assert not list((tmp_path / "out").rglob("*.png"))


def test_data_that_do_not_fit_are_refused_before_anything_is_made(dsec_test, network, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(dsec_test, data)
    csv = data / "test" / NAMES[0] / f"{NAMES[0]}.csv"
    csv.write_text(rows(1, 2, 3).to_csv())
    with pytest.raises(StereoError, match="asks for 1 to 3 us, but its events run from"):
        write_submission(data, network, tmp_path / "out", OPTIONS)
    csv.unlink()
    with pytest.raises(StereoError, match=f"no csv that says when the disparity of {NAMES[0]}"):
        write_submission(data, network, tmp_path / "out", OPTIONS)
    with pytest.raises(StereoError, match="48 rows and 64 columns. The benchmark wants 480 rows"):
        write_submission(dsec_test, network, tmp_path / "out", SubmitOptions(sequences=NAMES))
    listed = tmp_path / "listed"
    shutil.copytree(dsec_test / "test" / NAMES[0], listed / NAMES[0])
    (listed / f"{NAMES[1]}.csv").write_text(rows(1, 2, 3).to_csv())
    with pytest.raises(StereoError, match=f"lacks the events of {NAMES[1]}"):
        write_submission(listed, network, tmp_path / "out", OPTIONS)
    with pytest.raises(StereoError, match="no folder"):
        write_submission(tmp_path / "none", network, tmp_path / "out", OPTIONS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "listed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sequences": ("thun_00_a",)}, "thun_00_a is no test sequence"),
        ({"sequences": ()}, "An empty list is no"),
        ({"window_us": 0}, "window_us of at least 1, got 0"),
        ({"max_disparity": -1}, "max_disparity of at least 1"),
    ],
)
def test_options_are_checked(change, words):
    with pytest.raises(StereoError, match=words):
        SubmitOptions(**change)


def test_doubts_about_the_data_are_reported(dsec_test, network, tmp_path):
    data = tmp_path / NAMES[1]
    shutil.copytree(dsec_test / "test" / NAMES[1], data)
    (data / "generated.json").write_text("{}")
    (data / "images").mkdir()
    stamps = OFFSET_US + 1_000 * np.arange(41)
    (data / "images" / "timestamps.txt").write_text("".join(f"{t}\n" for t in stamps))
    # The last window reaches beyond the events, which last 300 ms.
    wanted = rows(90_000, 170_000, 310_000)
    shifted = Submission(t_us=wanted.t_us + OFFSET_US, file_index=wanted.file_index)
    (data / f"{NAMES[1]}.csv").write_text(shifted.to_csv())
    options = SubmitOptions(sequences=NAMES[1:], size=SIZE)
    found = {
        f.code: f for f in write_submission(data, network, tmp_path / "o", options).check.findings
    }
    assert "2 stamps of the csv" in found["stamps"].found
    assert "file_index 20" in found["stamps"].found
    assert found["generated"].file == NAMES[1]
    assert "after the recording" in found["late-window"].found


def test_a_window_without_events_is_reported(dsec_test, network, tmp_path):
    data = tmp_path / NAMES[1]
    shutil.copytree(dsec_test / "test" / NAMES[1], data)
    # Nothing happens between 100 and 120 ms (see `random_events`).
    shifted = Submission(
        t_us=OFFSET_US + np.array([119_000, 170_000]), file_index=np.array([20, 40])
    )
    (data / f"{NAMES[1]}.csv").write_text(shifted.to_csv())
    options = SubmitOptions(sequences=NAMES[1:], size=SIZE, window_us=15_000)
    findings = write_submission(data, network, tmp_path / "o", options).check.findings
    (silent,) = (f for f in findings if f.code == "no-events")
    assert silent.file == f"{NAMES[1]}/000020.png"
    assert "left and right" in silent.found


# The checker: what is right


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Write a good submission of two sequences by hand."""
    root = tmp_path_factory.mktemp("good") / "submission"
    for s, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for k, index in enumerate(INDICES):
            write_png(root / name / f"{index:06d}.png", stored_disparity(street(10 * s + k)))
    return root


LISTS = {name: rows(1, 2, 3) for name in NAMES}


def check(path):
    return check_submission(path, LISTS, size=SIZE)


def zipped(folder, path):
    write_zip(path, ((p.relative_to(folder).as_posix(), p.read_bytes())
                     for p in sorted(folder.rglob("*")) if p.is_file()))  # fmt: skip
    return path


def test_a_good_submission_has_no_finding_but_that_it_is_a_part(good, tmp_path):
    seen = []
    report = check_submission(good, LISTS, size=SIZE, progress=lambda *now: seen.append(now))
    assert [f.code for f in report.findings] == ["partial"]
    assert report.complete is False
    assert seen == [(k, 6) for k in range(1, 7)]
    row = report.sequences[NAMES[0]]
    assert (row["wanted"], row["found"], row["readable"]) == (3, 3, 3)
    assert 3 <= row["low_px"] < row["median_px"] < row["high_px"] < 43
    assert check(zipped(good, tmp_path / "a.zip")).to_dict()["sequences"] == report.sequences


# The checker: what is refused. Each case damages a copy; `first` is its first image.


def replaced(image):
    """Return a damage that replaces the first image by an array, or by bytes."""
    content = image if isinstance(image, bytes) else encoded(image)
    return lambda root: (root / NAMES[0] / "000020.png").write_bytes(content)


def all_images(change):
    """Return a damage that changes the disparity of every image of the first sequence."""

    def damage(root):
        for k, path in enumerate(sorted((root / NAMES[0]).iterdir())):
            path.write_bytes(encoded(change(street(k)).astype(np.uint16)))

    return damage


def moved(source, target):
    def damage(root):
        (root / target).parent.mkdir(exist_ok=True, parents=True)
        (root / source).rename(root / target)

    return damage


def added(name, content=b"x"):
    def damage(root):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_bytes(content)

    return damage


def counted(root):
    for k, path in enumerate(sorted((root / NAMES[0]).iterdir())):
        path.rename(path.with_name(f"{k:06d}.png"))


def enclosed(root):
    (root / "mine").mkdir()
    for name in NAMES:
        (root / name).rename(root / "mine" / name)


def linked(root):
    (root / "thun_01_b").symlink_to(root / NAMES[0])


def unreadable(root):
    (root / NAMES[0] / "000020.png").unlink()
    os.mkfifo(root / NAMES[0] / "000020.png")


def palette():
    """Return a valid PNG with a palette, which OpenCV does not write."""

    def part(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )  # fmt: skip

    lines = b"".join(b"\0" + bytes(range(64)) for _ in range(48))
    return (
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 3, 0, 0, 0))
        + part(b"PLTE", bytes(192)) + part(b"IDAT", zlib.compress(lines)) + part(b"IEND", b"")
    )  # fmt: skip


STREET = stored_disparity(street(0))
FIRST = f"{NAMES[0]}/000020.png"
DEPTH = 349.5  # focal length times baseline, px m

REFUSED = {
    "8 bits": (replaced(street(0).astype(np.uint8)), {"format": FIRST}, "8-bit grey of 48 rows"),
    "color": (replaced(np.zeros((*SIZE, 3), np.uint8)), {"format": FIRST}, "8-bit color PNG"),
    "16-bit color": (replaced(np.dstack([STREET] * 3)), {"format": FIRST}, "16-bit color PNG"),
    "transparency": (
        replaced(np.dstack([STREET] * 4)),
        {"format": FIRST},
        "color and transparency",
    ),
    "palette": (replaced(palette()), {"format": FIRST}, "8-bit color \\(palette\\) PNG"),
    "turned": (replaced(STREET.T.copy()), {"size": FIRST}, "16-bit grey of 64 rows and 48 columns"),
    "half size": (replaced(STREET[::2, ::2].copy()), {"size": FIRST}, "24 rows and 32 columns"),
    "cut off": (replaced(encoded(STREET)[:-40]), {"damaged": FIRST}, "cut off"),
    "changed byte": (
        replaced(encoded(STREET)[:900] + b"\0" + encoded(STREET)[901:]),
        {"damaged": FIRST},
        "damaged PNG",
    ),
    "no image data": (
        replaced(encoded(STREET)[:33] + encoded(STREET)[-12:]),
        {"damaged": FIRST},
        "cannot be decoded",
    ),
    "empty file": (replaced(b""), {"damaged": FIRST}, "0 bytes"),
    "another format": (replaced(b"\x93NUMPY\x01\0"), {"format": FIRST}, "no PNG image"),
    "huge file": (replaced(b"x" * (1 << 23)), {"unreadable": FIRST}, "8,388,608 bytes"),
    "all zero": (replaced(np.zeros(SIZE, np.uint16)), {"all-zero": FIRST}, "0 at every pixel"),
    "constant": (
        replaced(np.full(SIZE, 5_120, np.uint16)),
        {"constant": FIRST},
        "number 5120 \\(20.000 px\\)",
    ),
    "not times 256": (
        replaced(np.rint(street(0)).astype(np.uint16)),
        {"unscaled": FIRST},
        "not multiplied by 256",
    ),
    "depth in mm": (
        replaced((1_000 * DEPTH / street(0)).clip(0, 65_535).astype(np.uint16)),
        {"too-large": FIRST},
        "depth in millimeters",
    ),
    "negative numbers": (
        replaced((-256 * street(0)).astype(np.int32).astype(np.uint16)),
        {"too-large": FIRST},
        "negative numbers",
    ),
    "times 16": (all_images(lambda d: 16 * d), {"scale": NAMES[0]}, "another factor than 256"),
    "times 7": (all_images(lambda d: 7 * d), {"scale": NAMES[0]}, "another factor than 256"),
    "depth in m times 256": (
        all_images(lambda d: 256 * DEPTH / d),
        {"depth": NAMES[0]},
        "grow with distance, as depth does",
    ),
    "upside down": (all_images(lambda d: 256 * d[::-1]), {"depth": NAMES[0]}, "grow with distance"),
    "sequence missing": (
        lambda root: shutil.rmtree(root / NAMES[1]),
        {"missing-sequence": NAMES[1]},
        "a folder with 3 images",
    ),
    "training sequence": (
        added("thun_00_a/000020.png", encoded(STREET)),
        {"additional": "thun_00_a"},
        "an additional folder",
    ),
    "file at the top": (added("README.txt"), {"additional": "README.txt"}, "a file at the top"),
    "system's folder": (
        added("__MACOSX/x"),
        {"additional": "__MACOSX"},
        "the system or a stopped program",
    ),
    "other letters": (
        moved(NAMES[0], "Thun_01_A"),
        {"additional": "Thun_01_A", "missing-sequence": NAMES[0]},
        "Name it thun_01_a",
    ),
    "file for a sequence": (
        lambda root: (shutil.rmtree(root / NAMES[0]), (root / NAMES[0]).write_bytes(b"")),
        {"additional": NAMES[0], "missing-sequence": NAMES[0]},
        "Make it a folder",
    ),
    "enclosed": (enclosed, {"enclosed": "mine"}, "Make the zip from within mine"),
    "image missing": (
        lambda root: (root / FIRST).unlink(),
        {"count": NAMES[0], "missing": FIRST},
        "2 files. Expected 3",
    ),
    "image too many": (
        added(f"{NAMES[0]}/000080.png", encoded(STREET)),
        {"count": NAMES[0], "additional": f"{NAMES[0]}/000080.png"},
        "4 files. Expected 3",
    ),
    "not six digits": (
        moved(FIRST, f"{NAMES[0]}/20.png"),
        {"missing": FIRST, "additional": f"{NAMES[0]}/20.png"},
        "Name it 000020.png, with six digits",
    ),
    "other index": (
        moved(FIRST, f"{NAMES[0]}/000022.png"),
        {"missing": FIRST, "additional": f"{NAMES[0]}/000022.png"},
        "asked for: 000020.png, 000040.png, 000060.png",
    ),
    "capital ending": (
        moved(FIRST, f"{NAMES[0]}/000020.PNG"),
        {"missing": FIRST, "additional": f"{NAMES[0]}/000020.PNG"},
        "Name it 000020.png",
    ),
    "array beside": (
        added(f"{NAMES[0]}/000020.npy"),
        {"count": NAMES[0], "additional": f"{NAMES[0]}/000020.npy"},
        "write the image as 16-bit grey PNG",
    ),
    "hidden file": (
        added(f"{NAMES[0]}/.DS_Store"),
        {"count": NAMES[0], "additional": f"{NAMES[0]}/.DS_Store"},
        "system or a stopped program",
    ),
    "folder in a sequence": (
        added(f"{NAMES[0]}/more/x.png"),
        {"count": NAMES[0], "additional": f"{NAMES[0]}/more"},
        "a folder",
    ),
    "folder for an image": (
        lambda root: ((root / FIRST).unlink(), (root / FIRST).mkdir()),
        {"count": NAMES[0], "additional": FIRST},
        "a folder",
    ),
    "counted from 0": (
        counted,
        {"missing": FIRST, "additional": f"{NAMES[0]}/000000.png"},
        "name row k of the csv after its file_index",
    ),
    "link to a folder": (linked, {"unsafe": "thun_01_b"}, "a link to"),
    "pipe": (
        unreadable,
        {"unsafe": FIRST, "missing": FIRST, "count": NAMES[0]},
        "neither a file nor a folder",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, good, tmp_path):
    damage, expected, words = REFUSED[case]
    root = tmp_path / "submission"
    shutil.copytree(good, root)
    damage(root)
    found = errors(check(root))
    assert {f.code for f in found} == set(expected)
    for code, file in expected.items():
        assert file in [f.file for f in found if f.code == code]
    text = "\n".join(map(str, found))
    assert re.search(words, text), text
    assert all(f.found and f.expected and f.remedy.endswith(".") for f in found)


def test_all_findings_are_listed(good, tmp_path):
    root = tmp_path / "submission"
    shutil.copytree(good, root)
    for case in ("8 bits", "file at the top", "system's folder"):
        REFUSED[case][0](root)
    (root / NAMES[1] / "000040.png").unlink()
    found = errors(check(root))
    assert [f.code for f in found] == ["additional", "additional", "format", "count", "missing"]


# The checker: what is suspicious

SUSPICIOUS = {
    "holes": (
        replaced(np.where(np.eye(*SIZE) > 0, 0, STREET).astype(np.uint16)),
        "zeros",
        "48 of 3,072",
    ),
    "infinity": (
        replaced(np.where(np.eye(*SIZE) > 0, 65_535, STREET).astype(np.uint16)),
        "very-near",
        "largest number 65535",
    ),
    "rounded": (
        replaced((256 * np.rint(street(0))).astype(np.uint16)),
        "whole-pixels",
        "multiple of 256",
    ),
    "flat": (
        replaced((5_120 + np.arange(48 * 64).reshape(SIZE) % 7).astype(np.uint16)),
        "nearly-constant",
        "between 20.00 and 20.02 px",
    ),
    "repeated": (
        lambda root: shutil.copy(root / NAMES[0] / "000040.png", root / FIRST),
        "repeated",
        "the same image as thun_01_a/000020.png",
    ),
    "far is a little larger": (
        all_images(lambda d: 256 * np.linspace(30, 20, 48)[:, None] + d),
        "depth",
        "1.17 times those of the road",
    ),
}


@pytest.mark.parametrize("case", SUSPICIOUS)
def test_suspicious_but_legal(case, good, tmp_path):
    damage, code, words = SUSPICIOUS[case]
    root = tmp_path / "submission"
    shutil.copytree(good, root)
    damage(root)
    report = check(root)
    assert report.errors == 0
    assert {f.code for f in report.findings} == {"partial", code}
    assert words in " ".join(f.found for f in report.findings)


# The checker: zips


def entry(name, *, kind=stat.S_IFREG, system=3):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = system, (kind | 0o644) << 16
    return info


def flagged(path, flag):
    """Set a flag of the last entry in the directory of a zip, as encryption does."""
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= flag
    path.write_bytes(bytes(content))


TRICKS = {
    "../evil.png": "leaves the folder",
    "thun_01_a/../../evil.png": "leaves the folder",
    "/etc/evil.png": "absolute path",
    "C:/evil.png": "absolute path",
    "thun_01_a\\evil.png": "backslashes",
    "thun_01_a//evil.png": "empty parts",
    "thun_01_a/./evil.png": "dots",
    "thun_01_a/evil\x07.png": "control characters",
}


@pytest.mark.parametrize("name", TRICKS)
def test_path_tricks_in_a_zip_are_refused(name, good, tmp_path):
    path = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry(name), b"x")
    (found,) = errors(check(path))
    assert found.code == "unsafe"
    assert TRICKS[name] in found.found


def test_links_encryption_and_second_entries_in_a_zip_are_refused(good, tmp_path):
    path = zipped(good, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry("thun_01_a/link.png", kind=stat.S_IFLNK), b"/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(entry(FIRST), b"x")
        archive.writestr(entry("zz"), b"x")
    flagged(path, 1)
    found = errors(check(path))
    assert [(f.code, f.file) for f in found] == [
        ("twice", FIRST), ("unsafe", "thun_01_a/link.png"), ("unsafe", "zz")
    ]  # fmt: skip
    assert [f.found for f in found] == ["a second file of this name", "a link", "an encrypted file"]


def test_a_bomb_is_not_unpacked(good, tmp_path):
    root = tmp_path / "submission"
    shutil.copytree(good, root)
    (root / FIRST).unlink()
    path = zipped(root, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(FIRST, bytes(1 << 26))
    tracemalloc.start()
    (found,) = errors(check(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25
    assert (found.code, found.file) == ("unreadable", FIRST)
    assert "more than 4,194,304 bytes" in found.found


def test_a_zip_with_a_damaged_entry(good, tmp_path):
    path = zipped(good, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[len(f"{FIRST}") + 30 + 200] ^= 1
    path.write_bytes(bytes(content))
    (found,) = errors(check(path))
    assert (found.code, found.file) == ("unreadable", FIRST)
    assert "cannot be unpacked" in found.found


def test_folders_in_a_zip_are_no_files(good, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in [good, *sorted(good.rglob("*"))][1:]:
            archive.write(file, file.relative_to(good))
    assert errors(check(path)) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_zip_is_reported_or_refused_and_nothing_else(data, good, tmp_path):
    content = bytearray(zipped(good, tmp_path / "a.zip").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # The directory at the end is where damage is most varied.
        back = data.draw(st.one_of(st.integers(1, 600), st.integers(1, len(content))))
        content[-back] = data.draw(st.integers(0, 255))
    (tmp_path / "a.zip").write_bytes(content[: data.draw(st.sampled_from([None, -1, -30]))])
    try:
        report = check(tmp_path / "a.zip")
    except StereoError:
        return
    if not report.errors:
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            for path in good.rglob("*.png"):
                assert archive.read(path.relative_to(good).as_posix()) == path.read_bytes()


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("x"),
                                  lambda p: p.write_bytes(b"PK\x05\x06")])  # fmt: skip
def test_what_is_no_submission_at_all(make, tmp_path):
    make(tmp_path / "a.zip")
    with pytest.raises(StereoError, match="Give the folder or the zip|no zip that can be opened"):
        check(tmp_path / "a.zip")


def test_an_empty_folder(tmp_path):
    assert [f.code for f in errors(check(tmp_path))] == ["empty", *["missing-sequence"] * 2]


# The official list


def test_the_list_is_found_in_every_arrangement(dsec_test, tmp_path):
    expected = official_list(dsec_test, NAMES)[NAMES[0]]
    assert expected.t_us.tolist() == [OFFSET_US + t for t in (30_000, 170_000, 250_000)]
    for place in ("", "test_disparity_timestamps"):
        folder = tmp_path / f"at-{place}"
        (folder / place).mkdir(parents=True)
        for name in NAMES:
            shutil.copy(dsec_test / "test" / name / f"{name}.csv", folder / place)
        assert official_list(folder, NAMES)[NAMES[0]].to_csv() == expected.to_csv()


# The command line


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """Write csv files and a good submission of all test sequences, one image each."""
    root = tmp_path_factory.mktemp("complete")
    (root / "csv").mkdir()
    for k, name in enumerate(TEST):
        (root / "csv" / f"{name}.csv").write_text(rows(5, indices=(20,)).to_csv())
        (root / "out" / name).mkdir(parents=True)
        image = stored_disparity(street(k, (480, 640)))
        write_png(root / "out" / name / "000020.png", image)
    zipped(root / "out", root / "out.zip")
    return root


def test_check_of_a_complete_submission(complete):
    for name in ("out", "out.zip"):
        result = call("submit", "--check", complete / name, "--data", complete / "csv", "--json")
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert document["complete"] is True
        assert (document["images"], document["errors"], document["warnings"]) == (12, 0, 0)
    shown = call("submit", "--check", complete / name, "--data", complete / "csv")
    assert "correct: 0 errors, 0 warnings" in shown.stdout
    assert max(map(len, shown.stdout.splitlines()[:20])) <= 100


def test_check_exits_with_1_and_lists_every_error(complete, tmp_path):
    root = tmp_path / "out"
    shutil.copytree(complete / "out", root)
    (root / TEST[0] / "000020.png").write_bytes(encoded(np.zeros((480, 640), np.uint8)))
    shutil.rmtree(root / TEST[1])
    result = call("submit", "--check", root, "--data", complete / "csv")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert f"error {TEST[0]}/000020.png: 8-bit grey of 480 rows and 640 columns. Expected" in text
    assert f"error {TEST[1]}: no such folder. Expected a folder with 1 images." in text
    assert "refused: 2 errors, 0 warnings" in text
    result = call("submit", "--check", root, "--data", complete / "csv", "--json")
    assert result.exit_code == 1
    assert [f["code"] for f in json.loads(result.stdout)["findings"]] == [
        "format",
        "missing-sequence",
    ]


def test_write_through_the_command_line(network, tmp_path):
    """One sequence at full resolution, written, found complete, and checked again."""
    run = tmp_path / "run"
    save_network(run, network, {})
    name = "zurich_city_12_a"
    pair = small_pair(width=640, height=480) | {
        "disparity": np.zeros((0, 480, 640), np.float32), "disparity_t_us": np.empty(0, int)
    }  # fmt: skip
    wanted = rows(100_000, 200_000, indices=(20, 40))
    write_dsec(tmp_path / "DSEC" / "test" / name, **pair, submission=wanted)
    command = ("submit", run, "--data", tmp_path / "DSEC", "--out", tmp_path / "o.zip",
               "--sequence", name, "--max-disparity", 21, "--window-ms", 40)  # fmt: skip
    first = call(*command, "--json")
    document = json.loads(first.stdout)
    assert first.exit_code == 0, first.output
    assert (document["images"], document["computed"], document["kept"]) == (2, 2, 0)
    assert document["identity"]["window_us"] == 40_000
    assert document["identity"]["network"] == network_digest(load_network(run))
    assert document["images_per_s"] > 0
    again = call(*command)
    assert "0 images estimated, 2 were there already" in " ".join(again.stdout.split())
    assert "correct, but only a part" in again.stdout
    checked = call("submit", "--check", tmp_path / "o.zip", "--data", tmp_path / "DSEC",
                   "--sequence", name)  # fmt: skip
    assert checked.exit_code == 0, checked.output
    with zipfile.ZipFile(tmp_path / "o.zip") as archive:
        assert archive.namelist() == [f"{name}/000020.png", f"{name}/000040.png"]
        for info in archive.infolist():
            assert png_fault(archive.read(info)) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "needs --data"),
        (("--data", "x"), "and --out"),
        (("--check", "x"), "are in the official csv files only. Download"),
        (("--check", "x", "--out", "y"), "writes nothing"),
        (("--check", "x", "--data", "none"), "There is no folder none"),
        (("--data", "x", "--out", "y", "--sequence", "thun"), "thun is no test sequence"),
        (("--check", "x", "--data", "y", "--sequence", "thun"), "thun is no test sequence"),
        (("a", "--run", "b", "--data", "x", "--out", "y"), "Give the run folder once"),
        (("a", "--data", "x", "--out", "y"), "not a run folder"),
    ],
)
def test_bad_input(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refusal(call("submit", *arguments), words)
    assert list(tmp_path.iterdir()) == []


def test_csv_files_that_are_missing_are_named(complete, tmp_path):
    shutil.copytree(complete / "csv", tmp_path / "csv")
    (tmp_path / "csv" / f"{TEST[3]}.csv").unlink()
    result = call("submit", "--check", complete / "out", "--data", tmp_path / "csv")
    check_refusal(result, f"no csv that says when the disparity of {TEST[3]} is wanted")
