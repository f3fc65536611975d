"""The simulator: pixels against a scalar twin, geometry against closed forms, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.pixel import pixel_events as slow_pixel
from reference.pixel import ray_depth

from data import Calibration, RecordingError
from data.augment import Crop
from data.encode import ENCODINGS
from data.generated import GeneratedWindows, cached, make_clip
from data.simulator.clip import play
from data.simulator.kernels import pixel_events
from data.simulator.rig import Rig
from data.simulator.scene import FAR, Body, Motion, Scene, Shape, rotation
from data.simulator.scenes import SCENES, scene
from data.simulator.sensor import Sensor
from data.simulator.textures import TILE, noise_tile, random_tile, shapes_tile

CALIBRATION = Calibration(focal_px=50.0, cx_px=20.0, cy_px=15.0, baseline_m=0.2)
RIG = Rig(calibration=CALIBRATION, width=41, height=31)
QUIET = Sensor(mismatch=0.0, leak_hz=0.0, noise_hz=0.0, hot_share=0.0, refractory_us=0.0)


def still(*bodies, texture=None, motion=None):
    tile = np.zeros((TILE, TILE), np.float32) if texture is None else texture
    return Scene(bodies=bodies, textures=tile[None], motion=motion or Motion())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    refractory=st.sampled_from([0.0, 50.0, 900.0, 5000.0]),
    leak=st.sampled_from([0.0, 1e-4]),
    scale=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_pixel_equals_its_scalar_twin(seed, refractory, leak, scale):
    """A wall without texture under a changing light: the light is the pixel's log radiance."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.integers(100, 2000, 30)).astype(np.float64)
    light = scale * np.cumsum(rng.standard_normal(30))
    on, off, phase = 0.2, 0.25, 0.03
    world = still(Body(shape=Shape.PLANE, center=(0.0, 0.0, 2.0)))
    poses = world.pose_table(t, 0.0)
    times, pixels = np.empty(10_000, np.int64), np.empty((10_000, 3), np.uint16)
    one = np.full((1, 1), 1.0, np.float32)
    count = pixel_events(
        t, poses, world.body_table(), world.view_bounds(poses), world.textures, light,
        np.zeros((1, 1, 2), np.float32), on * one, off * one, phase * one, refractory, leak, 7,
        times, pixels,
    )  # fmt: skip
    on, off, phase = (float(np.float32(v)) for v in (on, off, phase))
    expected = slow_pixel(t.tolist(), light.tolist(), on, off, phase, refractory, leak)
    assert count == len(expected)
    assert np.abs(times[:count] - np.array([e[0] for e in expected], np.int64)).max(initial=0) <= 1
    assert pixels[:count].tolist() == [[0, 7, int(p)] for _, p in expected]


def test_a_step_of_n_thresholds_gives_n_events():
    ramp = np.zeros((TILE, TILE), np.float32)
    world = still(Body(shape=Shape.PLANE, center=(0.0, 0.0, 2.0)), texture=ramp)
    poses = world.pose_table(np.array([0.0, 1000.0]), 0.0)
    times, pixels = np.empty(10, np.int64), np.empty((10, 3), np.uint16)
    one = np.ones((1, 1), np.float32)
    count = pixel_events(
        np.array([0.0, 1000.0]), poses, world.body_table(), world.view_bounds(poses),
        world.textures, np.array([0.0, 1.05]), np.zeros((1, 1, 2), np.float32), 0.25 * one,
        0.25 * one, 0 * one, 0.0, 0.0, 0, times, pixels,
    )  # fmt: skip
    # crossings at 0.25, 0.5, 0.75, 1.0 of 1.05
    assert times[:count].tolist() == [238, 476, 714, 952]
    assert pixels[:count, 2].tolist() == [1, 1, 1, 1]


def test_a_full_buffer_is_reported_not_dropped():
    world = still(Body(shape=Shape.PLANE, center=(0.0, 0.0, 2.0)))
    t = np.array([0.0, 1000.0])
    poses, one = world.pose_table(t, 0.0), np.ones((1, 1), np.float32)
    assert pixel_events(
        t, poses, world.body_table(), world.view_bounds(poses), world.textures,
        np.array([0.0, 1.0]), np.zeros((1, 1, 2), np.float32), 0.1 * one, 0.1 * one, 0 * one, 0.0,
        0.0, 0, np.empty(3, np.int64), np.empty((3, 3), np.uint16),
    ) == -1  # fmt: skip


def test_disparity_is_fb_over_depth_and_knows_occlusion():
    board = Body(shape=Shape.RECTANGLE, center=(0.05, 0.02, 1.0), half_size=(0.12, 0.1))
    ball = Body(shape=Shape.BALL, center=(-0.2, -0.1, 1.2), half_size=(0.1, 0.1))
    wall = Body(shape=Shape.PLANE, center=(0.0, 0.0, 4.0))
    got = RIG.disparity(still(wall, board, ball), 0)
    twin = [("board", 0.05, 0.02, 1.0, 0.12, 0.1), ("ball", -0.2, -0.1, 1.2, 0.1)]
    twin.append(("board", 0.0, 0.0, 4.0, 1e9, 1e9))
    shifted = [(kind, x - 0.2, *rest) for kind, x, *rest in twin]
    for y in range(31):
        for x in range(41):
            dx, dy = (x - 20) / 50, (y - 15) / 50
            z = ray_depth(twin, dx, dy)
            hidden = ray_depth(shifted, dx - 0.2 / z, dy) < z * (1 - 1e-4)
            outside = x - 10 / z < -0.5
            expected = 0.0 if hidden or outside else 10 / z
            assert got[y, x] == pytest.approx(expected, rel=1e-5), (x, y)
    assert (got == 0).any()
    assert (got == 10.0).any()


def test_bounds_never_hide_a_body():
    rng = np.random.default_rng(3)
    for name in ("room", "studio", "toss"):
        world = SCENES[name](rng, RIG)
        rig = Rig(calibration=CALIBRATION, width=41, height=31)
        poses = world.pose_table(np.linspace(0, 0.1, 5), 0.0)
        bounds = world.view_bounds(poses)
        assert (bounds[:, 0] < bounds[:, 1]).all()
        assert np.abs(bounds).max() <= FAR
        assert rig.fastest_px_per_s(world, 100_000) > 0


def test_cameras_see_the_same_edge_a_disparity_apart():
    rng = np.random.default_rng(0)
    world = still(
        Body(shape=Shape.PLANE, center=(0.0, 0.0, 1.0), texel_m=0.05),
        texture=shapes_tile(rng, 80),
        motion=Motion(velocity=(0.3, 0.0, 0.0)),
    )
    clip = play(world, RIG, {"left": QUIET, "right": QUIET}, duration_us=60_000,
                disparity_t_us=[60_000], seed=1)  # fmt: skip
    assert set(np.unique(clip.disparity)) == {0.0, 10.0}
    images = []
    for events in (clip.left, clip.right):
        image = np.zeros((31, 41))
        np.add.at(image, (events.y, events.x), np.where(events.p, 1.0, -1.0))
        images.append(image)
    score = [(images[0][:, 15:] * images[1][:, 15 - d : 41 - d]).sum() for d in range(16)]
    assert int(np.argmax(score)) == 10


def test_equal_seeds_give_equal_events_and_other_seeds_do_not():
    first, again, other = (make_clip(seed, 48, 36) for seed in (5, 5, 6))
    assert np.array_equal(first.left.t, again.left.t)
    assert np.array_equal(first.right.x, again.right.x)
    assert np.array_equal(first.disparity, again.disparity)
    assert len(other.left) != len(first.left)
    assert len(first.left) > 0
    assert int(first.left.x.max()) < 48
    assert int(first.left.y.max()) < 36


def test_the_two_cameras_are_independent():
    """Same view, no baseline to speak of: the events still differ, for the pixels do."""
    rig = Rig(calibration=Calibration(focal_px=50.0, cx_px=20.0, cy_px=15.0, baseline_m=1e-6),
              width=41, height=31)  # fmt: skip
    world = SCENES["room"](np.random.default_rng(1), RIG)
    sensors = {"left": Sensor(), "right": Sensor()}
    clip = play(world, rig, sensors, duration_us=50_000, disparity_t_us=[], seed=1)
    assert clip.disparity.shape == (0, 31, 41)
    assert not np.array_equal(clip.left.t, clip.right.t)


def test_tiles_are_periodic_noise_of_unit_size():
    rng = np.random.default_rng(0)
    for tile in (noise_tile(rng, 1.0), shapes_tile(rng, 50)):
        assert tile.shape == (TILE, TILE)
        assert tile.dtype == np.float32
        assert float(tile.std()) == pytest.approx(1.0, abs=1e-3)
        assert abs(float(tile.mean())) < 1e-3
    tile = random_tile(rng)
    seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
    assert seam < 3 * np.abs(np.diff(tile, axis=1)).mean()


def test_rotation_is_orthonormal():
    for vector in ([0, 0, 0], [0.1, -0.4, 2.0]):
        r = rotation(np.array(vector, np.float64))
        assert np.allclose(r @ r.T, np.eye(3))
        assert np.linalg.det(r) == pytest.approx(1.0)


def test_registry_and_thresholds_are_guarded():
    with pytest.raises(ValueError, match="'room' is registered already"):
        scene("room")(SCENES["room"])
    with pytest.raises(RecordingError, match=r"at least 0.05, got 0.01"):
        Sensor(on_threshold=0.01)


def windows(tmp_path, **changes):
    setting = {
        "encoding": ENCODINGS["spikes"](bins=2),
        "steps": 2,
        "window_us": 50_000,
        "width": 48,
        "height": 36,
        "clips": 3,
        "length": 4,
        "seed": 9,
        "cache": tmp_path,
    }
    return GeneratedWindows(**(setting | changes))


def test_windows_depend_on_seed_and_index_alone(tmp_path):
    made, stored = windows(tmp_path), windows(tmp_path)
    fresh = windows(None)
    for index in (2, 0):
        first, second, third = made[index], stored[index], fresh[index]
        assert first.left.shape == (2, 4, 36, 48)
        assert bool((first.left == second.left).all())
        assert bool((first.right == third.right).all())
        assert first.valid.any()
        assert bool((first.disparity[first.valid] > 0).all())
    with pytest.raises(IndexError):
        made[4]


def test_a_crop_of_generated_windows_is_a_part_of_them(tmp_path):
    """Half of the right parts lie farther to the right; disparities are larger by that."""
    crop = Crop(height=36, width=48, shift=12, farthest_px=20.0)
    plain, cut = (windows(tmp_path, width=60, length=12, crop=c) for c in (None, crop))
    shifts = []
    for whole, part in ((plain[index], cut[index]) for index in range(12)):
        assert part.left.shape[-2:] == part.disparity.shape == (36, 48)
        places = [
            (col, shift) for shift in range(13) for col in range(13 - shift)
            if bool((whole.left[..., col : col + 48] == part.left).all())
            and bool((whole.right[..., col + shift :][..., :48] == part.right).all())
        ]  # fmt: skip
        (col, shift), *others = places
        assert not others
        assert bool((part.disparity[part.valid] <= 20.0).all()) or not shift
        shown = whole.disparity[:, col : col + 48]
        assert bool((part.disparity == (shown + shift) * (shown > 0)).all())
        shifts.append(shift)
    assert 0 in shifts
    assert len(set(shifts)) > 2


def test_a_damaged_cache_file_is_made_again(tmp_path):
    path = tmp_path / "clip.npz"
    path.write_bytes(b"PK\x03\x04 not a zip")
    clip = make_clip(1, 48, 36)
    assert cached(path, lambda: clip) is clip
    again = cached(path, lambda: pytest.fail("the stored clip must be read"))
    assert np.array_equal(again.left.t, clip.left.t)
    assert list(tmp_path.iterdir()) == [path]
