"""The adaptive engine as a whole: threads, seeds, silence, exact times, honest reports."""

from dataclasses import replace

import numpy as np
import pytest
from reference.sensor import Pixel

from data import Calibration, RecordingError
from data.simulator.adaptive import engine
from data.simulator.clip import play
from data.simulator.rays import kernels as rays
from data.simulator.rig import Rig
from data.simulator.scene import Body, Motion, Scene, Shape
from data.simulator.scenes import SCENES, Family, scene
from data.simulator.sensor import Sensor
from data.simulator.sensors import make_sensors
from data.simulator.tables import frame_table, pyramid, solid_table
from data.simulator.textures import TILE, random_tile

CALIBRATION = Calibration(focal_px=60.0, cx_px=31.0, cy_px=23.0, baseline_m=0.2)
RIG = Rig(calibration=CALIBRATION, width=61, height=43)
PAINTED = sorted(name for name, family in SCENES.items() if not family.needs_pictures)
IDEAL = Sensor(mismatch=0.0, refractory_us=0.0, leak_hz=0.0, noise_hz=0.0, hot_share=0.0)
NOISY = make_sensors("noisy", np.random.default_rng(0))["left"]


def record(world, sensor, *, duration_us=30_000, seed=1, threads=2, rig=RIG, **more):
    pair = sensor if isinstance(sensor, dict) else {"left": sensor, "right": sensor}
    return play(
        world, rig, pair, duration_us=duration_us, disparity_t_us=[], seed=seed, adaptive=True,
        threads=threads, **more,
    )  # fmt: skip


def same(one, other):
    return all(
        np.array_equal(getattr(getattr(one, camera), axis), getattr(getattr(other, camera), axis))
        for camera in ("left", "right") for axis in "txyp"
    )  # fmt: skip


def wall(**more):
    tile = np.stack([random_tile(np.random.default_rng(1))])
    plane = Body(shape=Shape.PLANE, center=(0.0, 0.0, 2.0), texel_m=0.1)
    return Scene(bodies=(plane,), textures=tile, **{"motion": Motion(), **more})


def per_pixel(events, rig=RIG):
    counts = np.zeros((rig.height, rig.width))
    np.add.at(counts, (events.y, events.x), 1.0)
    return counts


@pytest.mark.parametrize("name", PAINTED)
def test_results_do_not_depend_on_the_number_of_threads(name):
    world = SCENES[name](np.random.default_rng(2), RIG)
    one = record(world, NOISY, threads=1)
    assert len(one.left) > 200
    assert same(one, record(world, NOISY, threads=2))
    assert same(one, record(world, NOISY, threads=7))
    assert not same(one, record(world, NOISY, seed=2))


def test_segments_and_buffers_are_seamless(monkeypatch):
    """Short segments, and buffers that are too small at first, give the same events."""
    world = SCENES["planes"](np.random.default_rng(2), RIG)
    whole = record(world, NOISY, duration_us=50_000)
    monkeypatch.setattr(engine, "CHUNKS_PER_SEGMENT", 1)
    monkeypatch.setattr(engine, "FIRST_ROOM", 1)
    pieces = record(world, NOISY, duration_us=50_000)
    assert len(whole.left) == pytest.approx(len(pieces.left), rel=0.02)
    # Velocities at the ends of a segment are one-sided differences, so steps may differ a little;
    # without motion nothing at all may.
    monkeypatch.undo()
    still = wall()
    noise = Sensor(shot_hz=200.0, leak_hz=30.0, leak_jitter=0.2, mismatch=0.05)
    whole = record(still, noise, duration_us=50_000, light_hz=40.0)
    monkeypatch.setattr(engine, "CHUNKS_PER_SEGMENT", 1)
    monkeypatch.setattr(engine, "FIRST_ROOM", 1)
    assert same(whole, record(still, noise, duration_us=50_000, light_hz=40.0))


def test_a_still_scene_without_noise_is_silent():
    clip = record(wall(), Sensor(leak_hz=0.0, noise_hz=0.0, hot_share=0.0))
    assert len(clip.left) == len(clip.right) == 0
    blank = Scene(
        bodies=(Body(shape=Shape.PLANE, center=(0.0, 0.0, 2.0)),),
        textures=np.zeros((1, TILE, TILE), np.float32),
        motion=Motion(velocity=(0.5, 0.2, 0.1)),
    )
    clip = record(blank, IDEAL)
    assert len(clip.left) == len(clip.right) == 0


@pytest.mark.parametrize("sensor", [IDEAL, NOISY], ids=["clean", "noisy"])
@pytest.mark.parametrize("name", ["planes", "spheres", "thin"])
def test_events_are_those_of_a_dense_simulation(name, sensor):
    """Every 15 us the radiance is taken from single rays and fed to the plain twin of a pixel.

    Between two samples poses run straight, which is off by a few thousandths of a pixel; things
    move by about ten pixels a second here, so that is up to a millisecond.
    """
    world = SCENES[name](np.random.default_rng(6), RIG)
    world = replace(world, textures=2 * world.textures)
    clip = record(world, sensor, duration_us=60_000)
    texels, starts = pyramid(world.textures)
    solids, near = solid_table(world), np.arange(len(world.bodies))
    times = np.arange(0.0, 60_001.0, 15.0)
    frames = frame_table(world, times * 1e-6, 0.0)
    view, grid = np.array([60.0, world.sky]), RIG.rays("left").astype(np.float64)
    key = engine.camera_key(1, "left")
    total = matched = astray = pixels = 0
    busiest = np.argsort(per_pixel(clip.left).ravel())[::-1][:30]
    for row, col in {divmod(int(n), 61) for n in (*busiest, *range(5, 61 * 43, 197))}:
        levels = [
            rays.radiance(frames, k, near, near.size, solids, texels, starts, view, *grid[row, col])
            for k in range(times.size)
        ]
        twin = Pixel(sensor, key, row * 61 + col, 0.0, levels[0])
        for k in range(times.size - 1):
            twin.play(times[k], levels[k], times[k + 1], levels[k + 1])
        mine = (clip.left.x == col) & (clip.left.y == row)
        got = list(zip(clip.left.t[mine].tolist(), clip.left.p[mine].tolist()))
        expected = [event for event in twin.events if event[0] < 60_000]
        total += len(expected)
        near_in_time = 0
        for (t, p), (twin_t, twin_p) in zip(got, expected):
            near_in_time += p == twin_p and abs(t - twin_t) < 1000
        matched += near_in_time
        astray += abs(len(got) - len(expected)) > 2 + 0.05 * len(expected)
        pixels += 1
    assert total > 40
    # A graze of a thin thing that is shorter than half a pixel may fall between two samples.
    assert astray <= 0.03 * pixels
    assert matched > 0.9 * total


def test_left_and_right_are_independent():
    """Noise and thresholds of the two cameras share nothing; those of one camera do."""
    rig = Rig(calibration=CALIBRATION, width=122, height=86)
    noise = Sensor(shot_hz=40.0, mismatch=0.06, noise_hz=20.0, hot_share=0.01)
    clip = record(wall(), noise, duration_us=1_000_000, rig=rig)
    left, right = per_pixel(clip.left, rig), per_pixel(clip.right, rig)
    assert len(clip.left) > 100_000
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.04
    assert abs(np.corrcoef(left[:, 1:].ravel(), left[:, :-1].ravel())[0, 1]) < 0.04
    early, late = (clip.left.window(*w) for w in ((0, 500_000), (500_000, 1_000_000)))
    again = np.corrcoef(per_pixel(early, rig).ravel(), per_pixel(late, rig).ravel())[0, 1]
    assert again > 0.1, "a camera's own hot pixels and thresholds stay"
    times = np.histogram(clip.left.t, 200)[0], np.histogram(clip.right.t, 200)[0]
    assert abs(np.corrcoef(*times)[0, 1]) < 0.25


def test_stray_events_come_at_their_rate_and_are_lost_like_others():
    noise = Sensor(noise_hz=50.0, leak_hz=0.0, hot_share=0.0, mismatch=0.0)
    clip = record(wall(), noise, duration_us=400_000)
    expected = 50.0 * 0.4 * 61 * 43
    assert len(clip.left) == pytest.approx(expected, rel=0.03)
    assert clip.left.p.mean() == pytest.approx(0.5, abs=0.02)
    deaf = Sensor(noise_hz=50.0, shot_hz=50.0, leak_hz=0.0, hot_share=0.0, bias_off=1.0)
    clip = record(wall(), deaf, duration_us=200_000)
    assert len(clip.left) > 1000
    assert clip.left.p.all()


def test_a_flicker_of_the_light_is_followed():
    quick = record(wall(), IDEAL, duration_us=200_000, light_hz=20.0)
    times = quick.left.t
    # 0.1 of amplitude crosses a threshold of 0.2 in a part of the pixels, at the same phase always.
    assert len(times) > 500
    rising = np.abs(np.angle(np.exp(1j * (2 * np.pi * 20e-6 * times)))) < np.pi / 2
    assert quick.left.p[rising].mean() > 0.99
    assert quick.left.p[~rising].mean() < 0.01


def test_bounds_are_kept_or_reported():
    world = SCENES["planes"](np.random.default_rng(2), RIG)
    steps = record(world, IDEAL, duration_us=100_000).steps
    assert 0 < steps.largest_motion_px <= 0.5
    assert steps.floored == 0
    assert 0.0 < steps.largest_change < 1.0
    assert steps.jumps > 0, "edges of boards passed"
    bullet = Body(shape=Shape.BALL, center=(-1.0, 0.0, 1.0), velocity=(1500.0, 0.0, 0.0),
                  half_size=(0.05, 0.05))  # fmt: skip
    fast = Scene(bodies=(*wall().bodies, bullet), textures=wall().textures, motion=Motion())
    steps = record(fast, IDEAL, duration_us=2_000).steps
    assert steps.floored > 0
    assert steps.largest_motion_px > 0.5
    smooth = wall(motion=Motion(velocity=(0.3, 0.0, 0.0)))
    assert record(smooth, IDEAL).steps.jumps == 0, "a wall has no edges"


def test_the_first_engine_reports_its_steps_too():
    world = SCENES["room"](np.random.default_rng(1), RIG)
    pair = {"left": Sensor(), "right": Sensor()}
    clip = play(world, RIG, pair, duration_us=5_000, disparity_t_us=[], seed=1)
    assert clip.steps.largest_change is None
    assert clip.steps.largest_motion_px > 0
    slow = play(
        world, RIG, dict.fromkeys(("left", "right"), NOISY), duration_us=5_000, disparity_t_us=[],
        seed=1,
    )  # fmt: skip
    assert slow.steps.largest_change is not None, "only the adaptive engine knows this sensor"
    boxes = SCENES["boxes"](np.random.default_rng(1), RIG)
    with pytest.raises(RecordingError, match="even_steps"):
        play(boxes, RIG, pair, duration_us=5_000, disparity_t_us=[], seed=1, adaptive=False)


def test_progress_runs_to_the_end_and_any_size_works():
    shares = []
    rig = Rig(calibration=CALIBRATION, width=33, height=35)
    world = SCENES["boxes"](np.random.default_rng(3), rig)
    clip = record(world, IDEAL, duration_us=1_500, rig=rig, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    for events in (clip.left, clip.right):
        assert len(events) == 0 or (events.x.max() < 33 and events.y.max() < 35)
        assert len(events) == 0 or (events.t.min() >= 0 and events.t.max() < 1_500)


def test_registry_is_guarded():
    with pytest.raises(ValueError, match="'boxes' is registered already"):
        scene("boxes")(SCENES["boxes"].build)
    assert isinstance(SCENES["boxes"], Family)
    with pytest.raises(RecordingError, match=r"'photos' is painted with pictures.*--textures"):
        SCENES["photos"](np.random.default_rng(0), RIG)
    with pytest.raises(RecordingError, match=r"'boxes' paints its own textures.*photos"):
        SCENES["boxes"](np.random.default_rng(0), RIG, lambda rng, n: None)
