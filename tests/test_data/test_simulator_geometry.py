"""Rays, poses, motion bounds, pyramids: against walking, finite differences and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.shapes import first_depth

from data import Calibration, RecordingError
from data.simulator.adaptive import kernels as engine_kernels
from data.simulator.path import Path, Wave, random_path, rotations
from data.simulator.pixels.kernels import SENSOR
from data.simulator.rays import kernels as rays
from data.simulator.rig import Rig
from data.simulator.scene import FAR, Body, Motion, Scene, Shape, rotation
from data.simulator.scenes import SCENES, find_scene
from data.simulator.tables import (
    bounds_table,
    frame_table,
    pyramid,
    solid_table,
    split_frames,
    twist_table,
)
from data.simulator.textures import TILE, random_tile, repeating_tile

CALIBRATION = Calibration(focal_px=60.0, cx_px=31.0, cy_px=23.0, baseline_m=0.2)
RIG = Rig(calibration=CALIBRATION, width=64, height=48)
PAINTED = sorted(name for name, family in SCENES.items() if not family.needs_pictures)
FLAT_TILE = np.zeros((1, TILE, TILE), np.float32)


def world(*bodies, motion=None, textures=FLAT_TILE):
    return Scene(bodies=bodies, textures=textures, motion=motion or Motion())


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from(["BALL", "BOX", "CYLINDER"]))
def test_solids_are_hit_where_walking_along_the_ray_enters_them(seed, shape):
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.1, 0.5, 3)
    size = np.full(3, size[0]) if shape == "BALL" else size
    tilt, center = rng.uniform(-2, 2, 3), np.array([*rng.uniform(-0.3, 0.3, 2), 2.0])
    body = Body(
        shape=Shape[shape], center=tuple(center.tolist()), tilt=tuple(tilt.tolist()),
        half_size=(float(size[0]), float(size[1])), half_depth=float(size[2]),
    )  # fmt: skip
    scene = world(body)
    frames, solids = frame_table(scene, np.zeros(1), 0.0), solid_table(scene)
    near = np.zeros(1, np.int64)
    for dx, dy in rng.uniform(-0.3, 0.3, (12, 2)):
        walked = first_depth(shape, size, rotation(tilt), center, dx, dy)
        z, n = rays.cast(frames, 0, near, 1, solids, dx, dy)
        if walked is None:
            # Only a graze shorter than a step of the walk may be a hit.
            assert n < 0 or first_depth(shape, size, rotation(tilt), center, dx, dy, 0.0002)
        else:
            assert n == 0
            assert z == pytest.approx(walked, abs=2e-3)


def test_a_camera_inside_a_box_or_before_nothing_sees_nothing():
    around = Body(shape=Shape.BOX, center=(0.0, 0.0, 0.5), half_size=(2.0, 2.0), half_depth=2.0)
    behind = Body(shape=Shape.CYLINDER, center=(0.0, 0.0, -3.0), half_size=(0.5, 0.5))
    scene = world(around, behind)
    frames = frame_table(scene, np.zeros(1), 0.0)
    z, n = rays.cast(frames, 0, np.arange(2), 2, solid_table(scene), 0.1, 0.0)
    assert (n, z) == (-1, FAR)


@pytest.mark.parametrize("name", PAINTED)
def test_a_tile_of_rays_sees_what_single_rays_see(name):
    scene = SCENES[name](np.random.default_rng(3), RIG)
    texels, starts = pyramid(scene.textures)
    frames = frame_table(scene, np.array([0.03]), 0.0)
    solids, near = solid_table(scene), np.arange(len(scene.bodies))
    view = np.array([60.0, scene.sky])
    grid = RIG.rays("left").reshape(-1, 2).astype(np.float64)
    m = len(grid)
    hit, out = np.empty(m), np.empty(m)
    rays.tile_radiance(
        frames, 0, near, near.size, solids, texels, starts, view, m, grid[:, 0].copy(),
        grid[:, 1].copy(), np.empty((6, m)), hit, out,
    )  # fmt: skip
    for i in range(0, m, 7):
        dx, dy = grid[i]
        _, n = rays.cast(frames, 0, near, near.size, solids, dx, dy)
        single = rays.radiance(frames, 0, near, near.size, solids, texels, starts, view, dx, dy)
        assert int(hit[i]) == n
        assert out[i] == pytest.approx(single, abs=1e-4)
    assert np.abs(RIG.log_radiance(scene, "left", 30_000).ravel() - out).max() < 1e-4


def test_truth_is_fb_over_depth_to_a_512th_and_knows_occlusion():
    """Balls, boxes and cylinders; depth and visibility by walking along the rays of both eyes."""
    specs = [
        ("BALL", np.full(3, 0.2), np.zeros(3), np.array([-0.4, -0.2, 1.5])),
        ("BOX", np.array([0.2, 0.15, 0.1]), np.array([0.3, 0.8, 0.1]), np.array([0.2, 0.1, 1.2])),
        ("CYLINDER", np.array([0.08, 0.5, 0.08]), np.array([0.1, 0.0, 0.3]),
         np.array([-0.05, 0.2, 2.0])),
    ]  # fmt: skip
    bodies = [
        Body(shape=Shape[kind], center=tuple(map(float, c)), tilt=tuple(map(float, tilt)),
             half_size=(float(size[0]), float(size[1])), half_depth=float(size[2]))
        for kind, size, tilt, c in specs
    ]  # fmt: skip
    wall = Body(shape=Shape.PLANE, center=(0.0, 0.0, 4.0))
    truth = RIG.disparity(world(wall, *bodies), 0)

    def depth(x, y, eye):
        shift = np.array([eye, 0.0, 0.0])
        found = [first_depth(k, s, rotation(t), c - shift, x, y) for k, s, t, c in specs]
        return min([z for z in found if z is not None] + [4.0])

    checked = hidden = 0
    for row in range(1, 48, 5):
        for col in range(1, 64, 3):
            dx, dy = (col - 31.0) / 60.0, (row - 23.0) / 60.0
            z = depth(dx, dy, 0.0)
            other = depth(dx - 0.2 / z, dy, 0.2)
            if abs(other - z) > 0.02 and other < z:
                assert truth[row, col] == 0.0
                hidden += 1
            elif col - 12.0 / z < -0.5:
                assert truth[row, col] == 0.0
            elif truth[row, col] > 0:
                assert truth[row, col] == pytest.approx(12.0 / z, abs=1 / 512)
                checked += 1
    assert checked > 130
    assert hidden > 8


@pytest.mark.parametrize("name", PAINTED)
def test_truth_of_every_family_is_fb_over_the_depth_seen(name):
    scene = SCENES[name](np.random.default_rng(5), RIG)
    truth = RIG.disparity(scene, 70_000)
    frames = frame_table(scene, np.array([0.07]), 0.0)
    solids, near = solid_table(scene), np.arange(len(scene.bodies))
    assert (truth > 0).mean() > 0.2
    for row, col in np.argwhere(truth > 0)[::11]:
        z, *_ = rays.cast(
            frames, 0, near, near.size, solids, (col - 31.0) / 60.0, (row - 23.0) / 60.0
        )
        assert truth[row, col] == pytest.approx(CALIBRATION.fb / z, abs=1 / 512)


def test_the_tables_of_old_shapes_agree_with_the_first_renderer():
    scene = SCENES["studio"](np.random.default_rng(2), RIG)
    t = np.array([0.0, 0.2])
    new, old = frame_table(scene, t, 0.2), scene.pose_table(t, 0.2)
    axes, centers = split_frames(new)
    for n, body in enumerate(scene.bodies):
        for axis, slot in ((0, 4), (1, 8)):
            assert np.allclose(axes[:, n, :, axis], old[:, n, slot : slot + 3])
        third = centers[:, n] if body.shape == Shape.BALL else axes[:, n, :, 2]
        assert np.allclose(third, old[:, n, :3])


def test_paths_start_at_rest_of_place_and_are_rigid():
    rng = np.random.default_rng(0)
    path = random_path(rng, speed_m_s=0.5, turn_rad_s=1.0)
    t = np.linspace(0, 20, 4001)
    assert np.abs(path.position(t[:1])).max() == 0
    assert np.abs(path.rotation_vector(t[:1])).max() == 0
    speed = np.linalg.norm(np.gradient(path.position(t), t, axis=0), axis=1)
    assert np.sqrt((speed**2).mean()) == pytest.approx(0.5, rel=0.25)
    turned = rotations(path.rotation_vector(t))
    assert np.allclose(turned @ turned.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(turned[77], rotation(path.rotation_vector(t[77:78])[0]))
    assert np.ptp(path.position(t), axis=0).min() > 0.01, "all six degrees of freedom"
    assert np.ptp(path.rotation_vector(t), axis=0).min() > 0.01


def test_frames_follow_a_hand_made_motion():
    """The rig turns a quarter to the right about y: what was at the right is now ahead."""
    quarter = Path(turn_rate=(0.0, float(np.pi / 2), 0.0))
    scene = world(
        Body(shape=Shape.BOX, center=(2.0, 0.0, 0.0), half_size=(0.1, 0.1), half_depth=0.1),
        motion=Motion(path=quarter),
    )
    _, centers = split_frames(frame_table(scene, np.array([0.0, 1.0]), 0.0))
    assert np.allclose(centers[:, 0], [[2, 0, 0], [0, 0, 2]], atol=1e-12)
    drift = Path(shifts=(Wave(amplitude=(0.0, 0.0, 0.5), hz=0.25, phase=0.0),))
    scene = world(
        Body(shape=Shape.BALL, center=(0.0, 0.0, 2.0), path=drift), motion=Motion(path=None)
    )
    _, centers = split_frames(frame_table(scene, np.array([0.0, 1.0]), 0.3))
    assert np.allclose(centers[:, 0], [[-0.3, 0, 2], [-0.3, 0, 2.5]])


def tables(scene, last_us=40_000):
    ticks = np.arange(0.0, last_us + 1, 1000.0)
    chunks = np.arange(0, ticks.size, 8)
    frames = frame_table(scene, ticks * 1e-6, 0.0)
    bounds = bounds_table(scene, frames, chunks, 1.0 / 60.0)
    return ticks, chunks, frames, twist_table(frames, 1000.0), bounds


@pytest.mark.parametrize("name", PAINTED)
def test_no_pixel_moves_more_than_half_a_pixel_in_a_step(name):
    """Surface points seen in each tile are followed by brute force through each of its steps."""
    scene = SCENES[name](np.random.default_rng(11), RIG)
    ticks, chunks, frames, twist, bounds = tables(scene)
    solids, everything = solid_table(scene), np.arange(len(scene.bodies))
    sensor, statistics = np.zeros(SENSOR), np.zeros(engine_kernels.STATISTICS)
    near, poses = everything.copy(), np.empty((500, len(scene.bodies), 12))
    grid = RIG.rays("left").astype(np.float64)
    worst = 0.0
    for c in range(len(chunks) - 1):
        for row in range(0, 48, 8):
            for col in range(0, 64, 16):
                tile = grid[row : row + 8, col : col + 16].reshape(-1, 2)
                corners = np.stack([tile.min(0), tile.max(0)], axis=1).ravel()
                steps, _ = engine_kernels._plan(
                    c, corners, ticks, chunks, frames, twist, bounds, solids,
                    np.array([60.0, 0.0]), sensor, 20.0, near, poses, statistics,
                )  # fmt: skip
                step_us = 8000.0 / max(1, steps)
                t0 = ticks[chunks[c]] + step_us * (max(1, steps) // 2)
                ends = frame_table(scene, np.array([t0, t0 + step_us]) * 1e-6, 0.0)
                axes, centers = split_frames(ends)
                for dx, dy in tile[::9]:
                    z, n, *_ = rays.cast(ends, 0, everything, everything.size, solids, dx, dy)
                    if n < 0:
                        continue
                    own = axes[0, n].T @ (z * np.array([dx, dy, 1.0]) - centers[0, n])
                    later = axes[1, n] @ own + centers[1, n]
                    moved = 60.0 * (later[:2] / later[2] - np.array([dx, dy]))
                    worst = max(worst, float(np.linalg.norm(moved)))
    assert 0.05 < worst <= 0.5
    assert statistics[engine_kernels.FLOORED] == 0
    assert statistics[engine_kernels.FASTEST] <= 0.5


@pytest.mark.parametrize("name", PAINTED)
def test_bounds_hold_every_body_that_a_ray_meets(name):
    scene = SCENES[name](np.random.default_rng(4), RIG)
    _, chunks, _, _, bounds = tables(scene)
    solids, everything = solid_table(scene), np.arange(len(scene.bodies))
    grid = RIG.rays("left").astype(np.float64).reshape(-1, 2)
    for c in range(len(chunks) - 1):
        for t_us in (8000.0 * c, 8000.0 * c + 4500.0, 8000.0 * c + 8000.0):
            frames = frame_table(scene, np.array([t_us * 1e-6]), 0.0)
            for dx, dy in grid[::37]:
                z, n, *_ = rays.cast(frames, 0, everything, everything.size, solids, dx, dy)
                if n >= 0:
                    low_x, high_x, low_y, high_y, low_z, high_z = bounds[c, n]
                    assert low_x <= dx <= high_x
                    assert low_y <= dy <= high_y
                    assert low_z - 1e-3 <= z <= high_z + 1e-3


def test_between_ticks_poses_bend_by_less_than_a_hundredth_of_a_pixel():
    for name in PAINTED:
        scene = SCENES[name](np.random.default_rng(8), RIG)
        t = np.array([0.1, 0.1005, 0.101])
        axes, centers = split_frames(frame_table(scene, t, 0.0))
        ahead = centers[:, :, 2] > 0.1
        mixed = 0.5 * (centers[0] + centers[2])
        for axis in (0, 1):
            exact = 60.0 * centers[1, :, axis] / centers[1, :, 2]
            straight = 60.0 * mixed[:, axis] / mixed[:, 2]
            assert np.abs(exact - straight)[ahead.all(axis=0)].max() < 0.01
        assert np.abs(0.5 * (axes[0] + axes[2]) - axes[1]).max() < 1e-4


def test_pyramids_keep_the_mean_radiance():
    tile = random_tile(np.random.default_rng(0))
    texels, starts = pyramid(np.stack([tile, tile + 1]))
    assert starts.shape == (2, 9)
    assert texels.size == 2 * sum(4**k for k in range(9))
    for level in range(9):
        size = TILE >> level
        part = texels[starts[1, level] : starts[1, level] + size * size]
        assert np.exp(part.astype(np.float64)).mean() == pytest.approx(
            np.exp(tile.astype(np.float64) + 1).mean(), rel=1e-5
        )
    for wrong in (np.zeros((1, 6, 6), np.float32), np.zeros((1, 8, 4), np.float32)):
        with pytest.raises(RecordingError, match="power of two"):
            pyramid(wrong)


def test_far_texture_does_not_flicker():
    """A pixel that covers twelve texels sees about their mean, not one of them."""
    wall = Body(shape=Shape.PLANE, center=(0.0, 0.0, 40.0), texel_m=40.0 / 60.0 / 12.0)
    tile = 0.3 * np.random.default_rng(1).standard_normal((1, TILE, TILE)).astype(np.float32)
    seen = RIG.log_radiance(world(wall, textures=tile), "left", 0)
    assert 0.01 * tile.std() < seen.std() < 0.25 * tile.std()


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_repeating_tiles_repeat_and_do_not_jump(seed):
    tile = repeating_tile(np.random.default_rng(seed))
    assert tile.shape == (TILE, TILE)
    assert np.isfinite(tile).all()
    spectrum = np.abs(np.fft.fft2(tile - tile.mean())) ** 2
    assert np.sort(spectrum.ravel())[-64:].sum() > 0.9 * spectrum.sum()


@pytest.mark.parametrize("name", PAINTED)
def test_families_are_reproducible_and_varied(name):
    one, same, other = (SCENES[name](np.random.default_rng(s), RIG) for s in (1, 1, 2))
    assert one.bodies == same.bodies
    assert np.array_equal(one.textures, same.textures)
    assert one.bodies != other.bodies
    assert find_scene(name) is SCENES[name]
    assert SCENES[name].build.__doc__
