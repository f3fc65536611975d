"""The text files of DSEC: stamps, the official csv, the place of the LiDAR."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data import RecordingError
from data.dsec.calibration import read_cam_to_lidar
from data.dsec.stamps import Submission, read_stamps, read_submission


@pytest.fixture
def file(tmp_path):
    return tmp_path / "interlaken_00_a.csv"


# ---- the official csv


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("# timestamp_us, file_index\n53193302164, 20\n53194302164, 40\n", 2),
        ("# timestamp_us, file_index\n53193302164, 20\n", 1),  # np.loadtxt gives one dimension
        ("53193302164,20", 1),
        ("\ufeff# timestamp_us, file_index\r\n53193302164, 20\r\n\r\n", 1),
        ("# a\n# b\n\n  53193302164 ,  20 # the first\n53194302164, 40", 2),
    ],
)
def test_every_form_of_the_csv(file, text, rows):
    file.write_text(text, encoding="utf-8", newline="")
    found = read_submission(file)
    assert found.t_us.dtype == found.file_index.dtype == np.int64
    assert found.t_us.tolist() == [53193302164, 53194302164][:rows]
    assert found.file_index.tolist() == [20, 40][:rows]
    assert len(found) == rows


@given(
    st.lists(st.integers(-(2**60), 2**60), min_size=1, unique=True),
    st.data(),
)
def test_what_is_written_is_read(tmp_path_factory, stamps, data):
    names = data.draw(
        st.lists(st.integers(0, 999_999), min_size=len(stamps), max_size=len(stamps), unique=True)
    )
    rows = Submission(t_us=np.array(sorted(stamps)), file_index=np.array(sorted(names)))
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text(rows.to_csv())
    again = read_submission(path)
    np.testing.assert_array_equal(again.t_us, rows.t_us)
    np.testing.assert_array_equal(again.file_index, rows.file_index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# timestamp_us, file_index\n", "at least one"),
        ("", "at least one"),
        ("1, 2, 3\n", "has the line '1, 2, 3'. Expected lines such as"),
        ("1\n", "has the line '1'"),
        ("1.5, 20\n", "cannot be read .*'1.5'"),
        ("timestamp, index\n1, 2\n", "cannot be read .*'timestamp'"),
        ("nan, 20\n", "cannot be read"),
        (f"{2**70}, 20\n", "more than 60 bits"),
        ("9" * 5000 + ", 20\n", "cannot be read"),
        ("5, 20\n4, 40\n", "The stamps to be estimated must increase"),
        ("5, 20\n6, 20\n", "The file indices to be estimated must increase"),
        ("5, -20\n", "file indices .* from -20"),
        ("5, 1000000\n", "six digits"),
    ],
)
def test_a_csv_that_is_none(file, text, message):
    file.write_text(text)
    with pytest.raises(RecordingError, match=message) as caught:
        read_submission(file)
    assert "interlaken_00_a.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_and_giants_are_refused(file):
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match="cannot be read as text"):
        read_submission(file)
    with file.open("wb") as handle:
        handle.truncate(1 << 30)
    with pytest.raises(RecordingError, match="has 1073741824 bytes. Expected a text"):
        read_stamps(file)
    file.unlink()
    with pytest.raises(RecordingError, match="cannot be read as text .*No such file"):
        read_stamps(file)


# ---- stamps


def test_stamps_and_comments(file):
    file.write_text("# when\n1\n 2\t\n\n3 # last\n")
    assert read_stamps(file).tolist() == [1, 2, 3]
    file.write_text("")
    assert read_stamps(file).dtype == np.int64
    assert read_stamps(file).size == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [("1\n1\n", "do not increase"), ("1e5\n", "cannot be read"), (f"{-(2**63)}\n", "60 bits")],
)
def test_stamps_that_are_none(file, text, message):
    file.write_text(text)
    with pytest.raises(RecordingError, match=message):
        read_stamps(file)


# ---- cam_to_lidar.yaml


@pytest.mark.real
def test_the_real_place_of_the_lidar(real_data):
    transform = read_cam_to_lidar(real_data / "calibration" / "dsec" / "cam_to_lidar.yaml")
    assert transform.shape == (4, 4)
    # Forward, the camera's z, is the LiDAR's x; the LiDAR is half a meter behind and above.
    np.testing.assert_allclose(transform[:3, 2], (1, 0, 0), atol=0.01)
    assert transform[:3, 3].tolist() == [0.448, 0.255, -0.215]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no usable T_lidar_camRect1"),
        ({"T_lidar_camRect1": np.ones((4, 4)).tolist()}, "is no rotation"),
        ({"T_lidar_camRect1": np.diag([1e300, 1, 1, 1]).tolist()}, "is no rotation"),
        ({"T_lidar_camRect1": np.diag([1, 1, -1, 1]).tolist()}, "is no rotation"),
        ({"T_lidar_camRect1": np.diag([1, 1, 1, 2]).tolist()}, "the last row"),
        ({"T_lidar_camRect1": np.eye(3).tolist()}, "4 x 4 finite numbers"),
        ({"T_lidar_camRect1": np.full((4, 4), np.nan).tolist()}, "4 x 4 finite numbers"),
        ([1], "T_lidar_camRect1 is missing"),
    ],
)
def test_a_place_of_the_lidar_that_is_none(file, content, message):
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(RecordingError, match=message):
        read_cam_to_lidar(file)
