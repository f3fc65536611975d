"""One pixel of the adaptive engine, in plain Python: every rule of it, one at a time.

The radiance is given as straight pieces; each is cut at the candidates for shot noise, low-passed
in closed form, and searched for crossings.
"""

import math

MASK = 2**64 - 1
NEVER = -1e18


def draw(key, pixel, index):
    """SplitMix64's finalizer over (key, pixel), then over the index, as a number in (0, 1)."""
    z = (key + pixel * 0x9E3779B97F4A7C15) & MASK
    for salt in (index + 1, 0):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z = ((z ^ (z >> 31)) + salt * 0x9E3779B97F4A7C15) & MASK
    return ((z >> 11) + 0.5) * 2.0**-53


def normal(key, pixel, index):
    radius = math.sqrt(-2.0 * math.log(draw(key, pixel, index)))
    return radius * math.cos(2.0 * math.pi * draw(key, pixel, index + 1))


class Pixel:
    """A pixel with its draws; ``sensor`` has the attributes of ``data.simulator.sensor.Sensor``."""

    def __init__(self, sensor, key, where, t, level):
        self.s, self.key, self.where = sensor, key, where
        self.on = max(0.05, sensor.on_threshold + sensor.mismatch * normal(key, where, 0))
        self.off = max(0.05, sensor.off_threshold + sensor.mismatch * normal(key, where, 2))
        self.mean_leak = sensor.leak_hz * 1e-6 * self.on
        if sensor.leak_spread > 0:
            self.mean_leak *= math.exp(sensor.leak_spread * normal(key, where, 4))
        self.leak, self.draws, self.filtered = self.mean_leak, 8, level
        share = draw(key, where, 6)
        # The reference itself falls by the leak; here it is fixed and the level rises instead.
        self.reference = level + self.leak * t + self.off - share * (self.on + self.off)
        self.ready = NEVER
        self.next_shot = t + self.wait() if sensor.shot_hz > 0 else math.inf
        self.events = []

    def next(self):
        self.draws += 1
        return draw(self.key, self.where, self.draws)

    def wait(self):
        rate = self.s.on_threshold / self.on + self.s.off_threshold / self.off
        return -math.log(self.next()) / (0.5 * self.s.shot_hz * 1e-6 * rate)

    def light(self, level):
        return (min(255.0, self.s.mid_dn * math.exp(level)) + 20.0) / 275.0

    def emit(self, t, p):
        if not p and self.s.bias_off > 0 and self.next() < self.s.bias_off:
            return
        self.events.append((math.floor(t), p))

    def play(self, t0, l0, t1, l1):
        while self.next_shot < t1:
            now = max(t0, self.next_shot)
            level = l0 + (l1 - l0) * (now - t0) / (t1 - t0)
            if now > t0:
                self.smooth(t0, l0, now, level)
            accept, side = self.next(), self.next()
            if accept < 1 - 0.75 * self.light(level) and self.ready <= now:
                up, down = self.s.on_threshold / self.on, self.s.off_threshold / self.off
                self.emit(now, side < up / (up + down))
                seen = self.filtered if self.s.cutoff_hz > 0 else level
                self.reference = seen + self.leak * now
                self.ready = now + self.s.refractory_us if self.s.refractory_us > 0 else NEVER
            self.next_shot = now + self.wait()
            t0, l0 = now, level
        if t1 > t0:
            self.smooth(t0, l0, t1, l1)

    def smooth(self, t0, l0, t1, l1):
        if self.s.cutoff_hz == 0:
            self.cross(t0, l0, t1, l1)
            return
        k = 2 * math.pi * self.s.cutoff_hz * 1e-6 * self.light((l0 + l1) / 2)
        slope = (l1 - l0) / (t1 - t0)
        gap = self.filtered - l0 + slope / k
        steepest = abs(slope) + k * abs(gap)
        pieces = 1 + int(steepest * (t1 - t0) / (0.5 * min(self.on, self.off)))
        before, now = self.filtered, t0
        for n in range(1, pieces + 1):
            then = t0 + n * (t1 - t0) / pieces
            after = l0 + slope * (then - t0) - slope / k + gap * math.exp(-k * (then - t0))
            self.cross(now, before, then, after)
            now, before = then, after
        self.filtered = before

    def cross(self, t0, m0, t1, m1):
        def level(t):
            return m0 + (m1 - m0) * (t - t0) / (t1 - t0) + self.leak * t

        start = t0
        while self.ready < t1:
            if self.ready >= start:
                start = self.ready
                self.reference = level(start)
            self.ready = NEVER
            rising = level(t1) > self.reference
            target = self.reference + (self.on if rising else -self.off)
            if (rising and level(t1) < target - 1e-6) or (not rising and level(t1) > target + 1e-6):
                return
            slope = (m1 - m0) / (t1 - t0) + self.leak
            now = start
            if slope != 0:
                now = min(t1, max(start, t0 + (target - level(t0)) / slope))
            self.emit(now, rising)
            self.reference, start = target, now
            if self.s.leak_jitter > 0:
                self.draws += 2
                jitter = normal(self.key, self.where, self.draws - 1)
                fresh = self.mean_leak * max(0.0, 1 - self.s.leak_jitter * jitter)
                self.reference += (fresh - self.leak) * now
                self.leak = fresh
            if self.s.refractory_us > 0:
                self.ready = now + self.s.refractory_us
