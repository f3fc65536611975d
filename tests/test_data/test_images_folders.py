"""Images in folders: every layout, every kind of file, and what a view of one holds."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import RecordingError
from data.images import ImageFolder
from data.images.pictures import (
    center_square,
    decode_picture,
    random_rectangle,
    random_square,
)

RED, GREEN = (200, 10, 30), (20, 180, 40)


def encoded(color, height=12, width=16, ending=".png"):
    """Return an image file of one color (red, green, blue), or gray if it is a number."""
    gray = isinstance(color, int)
    picture = np.full((height, width) if gray else (height, width, 3), 0, np.uint8)
    picture[:] = color if gray else color[::-1]
    return cv2.imencode(ending, picture)[1].tobytes()


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def color_of(pixels):
    assert (pixels == pixels[:, :1, :1]).all()
    return tuple(pixels[:, 0, 0].tolist())


# Layouts


def test_imagenet_layout_is_sorted_by_class_and_name(tmp_path):
    write(tmp_path, {
        "train/n02/b.JPEG": encoded(RED, ending=".jpg"), "train/n02/a.png": encoded(RED),
        "train/n01/z.bmp": encoded(GREEN, ending=".bmp"), "train/n01/notes.txt": b"no image",
        "train/.hidden/a.png": encoded(RED), "train/n01/.a.png": b"", "val/n02/c.png": encoded(RED),
    })  # fmt: skip
    train = ImageFolder(tmp_path, size=8)
    assert [train.path(i).name for i in range(len(train))] == ["z.bmp", "a.png", "b.JPEG"]
    assert train.classes == ("n01", "n02")
    assert train.labels.tolist() == [0, 1, 1]
    assert train.labels.dtype == np.int64
    pixels, label = train[0]
    assert (pixels.shape, pixels.dtype, label) == ((3, 8, 8), np.uint8, 0)
    assert color_of(pixels) == GREEN
    assert color_of(train[1][0]) == RED
    same = ImageFolder(tmp_path / "train", size=8)
    assert [same.path(i) for i in range(3)] == [train.path(i) for i in range(3)]


def test_a_validation_part_that_lacks_a_class_is_numbered_as_the_training_part(tmp_path):
    write(tmp_path, {f"train/{name}/a.png": encoded(RED) for name in ("n01", "n02", "n03")})
    write(tmp_path, {"val/n03/a.png": encoded(GREEN)})
    for root in (tmp_path, tmp_path / "val"):
        val = ImageFolder(root, part="val", size=8)
        assert val.classes == ("n01", "n02", "n03")
        assert val.labels.tolist() == [2]


def test_tiny_imagenet_layout(tmp_path):
    write(tmp_path, {
        "train/n02/images/n02_0.JPEG": encoded(RED), "train/n01/images/n01_0.JPEG": encoded(GREEN),
        "train/n01/n01_boxes.txt": b"", "val/images/val_1.JPEG": encoded(RED),
        "val/images/val_0.JPEG": encoded(GREEN),
        "val/val_annotations.txt": b"val_1.JPEG\tn02\t0\t0\t9\t9\nval_0.JPEG\tn01\t0\t0\t9\t9\n",
    })  # fmt: skip
    train = ImageFolder(tmp_path, size=8)
    val = ImageFolder(tmp_path, part="val", size=8)
    assert train.classes == val.classes == ("n01", "n02")
    assert [color_of(val[i][0]) for i in range(2)] == [GREEN, RED]
    assert [color_of(train[i][0]) for i in range(2)] == [GREEN, RED]
    assert val.labels.tolist() == [0, 1]


def test_classes_can_be_chosen(tmp_path):
    write(tmp_path, {f"{name}/a.png": encoded(RED) for name in ("n01", "n02", "n03")})
    chosen = ImageFolder(tmp_path, size=8, classes=("n03", "n01"))
    assert [chosen.path(i).parent.name for i in range(2)] == ["n03", "n01"]
    assert chosen.labels.tolist() == [0, 1]
    with pytest.raises(RecordingError, match="no images of 1 of the 2 classes: n04"):
        ImageFolder(tmp_path, size=8, classes=["n01", "n04"])
    with pytest.raises(RecordingError, match="twice there: n01"):
        ImageFolder(tmp_path, size=8, classes=["n01", "n01"])


def test_images_can_be_taken_out_and_travel(tmp_path):
    write(tmp_path, {f"n0{i}/a.png": encoded(10 * i) for i in range(5)})
    part = ImageFolder(tmp_path, size=8).take(np.array([4, 1, 3])).take(np.array([2, 0]))
    assert part.labels.tolist() == [3, 4]
    again = pickle.loads(pickle.dumps(part))
    assert [int(again[i][0][0, 0, 0]) for i in range(len(again))] == [30, 40]
    with pytest.raises(IndexError, match="Image 2 of 2"):
        part[2]
    with pytest.raises(IndexError):
        part[-1]


def test_folders_without_images_are_refused(tmp_path):
    write(tmp_path, {"one/train/n01/a.png": encoded(RED), "two/n01/a.txt": b"",
                     "three/train/n01/a.png": b"", "three/val/n02/a.png": b""})  # fmt: skip
    with pytest.raises(RecordingError, match=r"There is no folder .*val. It has train"):
        ImageFolder(tmp_path / "one", part="val", size=8)
    with pytest.raises(RecordingError, match="is the part 'train'; 'val' was asked for"):
        ImageFolder(tmp_path / "one" / "train", part="val", size=8)
    with pytest.raises(RecordingError, match="There is no folder"):
        ImageFolder(tmp_path / "four", size=8)
    with pytest.raises(RecordingError, match="no images in folders of classes"):
        ImageFolder(tmp_path / "two", size=8)
    with pytest.raises(RecordingError, match="classes that the training part lacks: n02"):
        ImageFolder(tmp_path / "three", part="val", size=8)


@pytest.mark.parametrize("line", [b"val_9.png\tn01\n", b"val_0.png n01\n", b""])
def test_lists_that_name_no_image_are_refused(tmp_path, line):
    write(tmp_path, {"val/images/val_0.png": encoded(RED), "val/val_annotations.txt": line})
    with pytest.raises(RecordingError, match=r"line 1: 'val_|is empty"):
        ImageFolder(tmp_path, part="val", size=8)


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 8, "short_side": 7}, {"size": 8, "area": (0.5, 0.2)},
     {"size": 8, "area": (0.0, 1.0)}, {"size": 8, "area": (0.5, 1.5)}],
)  # fmt: skip
def test_sizes_without_meaning_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="size of at least 1"):
        ImageFolder(tmp_path, **options)


# Files that cannot be decoded


def damaged_folder(tmp_path, **options):
    whole = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    jpeg, png = (cv2.imencode(e, whole)[1].tobytes() for e in (".jpg", ".png"))
    write(tmp_path, {
        "n01/a.png": encoded(RED), "n01/b.jpg": jpeg[: len(jpeg) // 2],
        "n02/c.png": png[: len(png) // 2], "n02/d.png": encoded(GREEN), "n02/e.png": b"no image",
        "n02/f.png": b"",
    })  # fmt: skip
    return ImageFolder(tmp_path, size=8, **options)


def test_files_that_cannot_be_decoded_are_refused_by_name(tmp_path):
    folder = damaged_folder(tmp_path)
    for index, name in ((1, "b.jpg"), (2, "c.png"), (4, "e.png"), (5, "f.png")):
        with pytest.raises(RecordingError, match=rf"{name} is no image .* replace_unreadable"):
            folder[index]
    assert [path.name for path in folder.unreadable()] == ["b.jpg", "c.png", "e.png", "f.png"]
    (tmp_path / "n01" / "a.png").unlink()
    with pytest.raises(RecordingError, match=r"a.png cannot be read \(No such file"):
        folder[0]


def test_images_that_end_early_are_refused_even_if_opencv_fills_them_up(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    files = [cv2.imencode(ending, picture)[1].tobytes() for ending in (".jpg", ".png", ".bmp")]
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: picture.copy())
    for whole in files:
        assert decode_picture(whole) is not None
    for whole in files[:2]:
        assert all(decode_picture(whole[:end]) is None for end in range(10, len(whole) - 8, 50))


def test_the_next_image_can_take_their_place_and_they_are_counted(tmp_path):
    folder = damaged_folder(tmp_path, replace_unreadable=True)
    found = [(color_of(pixels), label) for pixels, label in map(folder.__getitem__, range(6))]
    assert found == [(RED, 0), *[(GREEN, 1)] * 3, *[(RED, 0)] * 2]
    assert len(folder.unreadable()) == 4
    with pytest.raises(RecordingError, match="c.png is no image"):
        folder.take(np.array([2, 4]))[0]


# Pictures


def test_all_kinds_of_files_become_three_channels():
    assert decode_picture(encoded(90)).tolist() == [[[90] * 3] * 16] * 12
    assert decode_picture(encoded(RED))[0, 0].tolist() == list(RED)
    jpeg = decode_picture(encoded(RED, ending=".jpg"))
    assert np.abs(jpeg.astype(int) - RED).max() <= 3
    alpha = np.dstack([np.full((4, 4), v, np.uint8) for v in (*RED[::-1], 7)])
    assert decode_picture(cv2.imencode(".png", alpha)[1].tobytes())[0, 0].tolist() == list(RED)
    deep = np.full((4, 4), 90 * 257, np.uint16)
    assert decode_picture(cv2.imencode(".png", deep)[1].tobytes())[0, 0].tolist() == [90] * 3


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20), st.integers(0, 10))
def test_the_middle_of_any_picture_is_a_square(height, width, size, border):
    picture = np.full((height, width, 3), RED, np.uint8)
    square = center_square(picture, size, size + border)
    assert square.shape == (3, size, size)
    assert color_of(square) == RED


def test_the_middle_is_the_middle():
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[:, 5:15] = 100
    assert (center_square(picture, 10, 10) == 100).all()
    picture[1:-1, 6:-6] = 200
    assert (center_square(picture, 8, 10) == 200).all()
    large = picture.repeat(3, 0).repeat(3, 1)
    assert (center_square(large, 8, 10) == 200).all()


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 9))
def test_random_rectangles_lie_in_the_picture(height, width, seed):
    rng = np.random.default_rng(seed)
    top, left, rows, columns = random_rectangle(height, width, (0.08, 1.0), rng)
    assert 0 <= top <= top + rows <= height
    assert 0 <= left <= left + columns <= width
    assert min(rows, columns) >= 1


def test_random_rectangles_have_the_areas_and_aspects_asked_for():
    rng = np.random.default_rng(0)
    found = np.array([random_rectangle(400, 400, (0.2, 0.5), rng) for _ in range(2000)])
    areas, aspects = found[:, 2] * found[:, 3] / 400**2, found[:, 3] / found[:, 2]
    assert 0.19 < areas.min() < 0.21
    assert 0.49 < areas.max() < 0.51
    assert abs(areas.mean() - 0.35) < 0.01
    assert 0.74 < aspects.min() < 0.76
    assert 1.31 < aspects.max() < 1.35
    assert abs(np.log(aspects).mean()) < 0.02
    # A line has no rectangle of such an aspect but the largest one in the middle.
    assert random_rectangle(1, 1001, (0.9, 1.0), rng) == (0, 500, 1, 1)


def test_a_random_square_depends_on_its_generator_and_covers_the_picture():
    picture = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    first, again, other = (
        random_square(picture, 9, (0.1, 1.0), np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (3, 9, 9)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_views_are_random_only_with_a_generator(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    write(tmp_path, {"n01/a.png": cv2.imencode(".png", picture)[1].tobytes()})
    folder = ImageFolder(tmp_path, size=8)
    views = [folder.view(0, np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])
    assert np.array_equal(folder[0][0], folder.view(0, None)[0])
