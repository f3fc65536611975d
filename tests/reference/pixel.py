"""One pixel of an event camera, in plain Python over a piecewise linear log radiance."""


def pixel_events(t, level, on, off, phase, refractory, leak):
    """Return ``[(t, p)]`` of a pixel that sees ``level[k]`` at ``t[k]``."""
    reference, ready, out = level[0] + phase, t[0], []
    for (t0, l0), (t1, l1) in zip(zip(t, level), zip(t[1:], level[1:])):
        slope = (l1 - l0) / (t1 - t0)
        reference -= leak * on * (t1 - t0)
        start = t0
        if t0 < ready < t1:
            start, reference = ready, l0 + slope * (ready - t0)
        while start >= ready:
            rising = l1 > reference
            crossing = reference + on if rising else reference - off
            if (rising and l1 < crossing) or (not rising and l1 > crossing):
                break
            now = max(start, t0 + (crossing - l0) / slope) if slope else start
            out.append((int(now), rising))
            reference = crossing
            if refractory > 0:
                ready = now + refractory
                if ready >= t1:
                    break
                start, reference = ready, l0 + slope * (ready - t0)
    return out


def ray_depth(bodies, dx, dy):
    """Return the depth along ``(dx, dy, 1)`` of discs and balls that face the camera.

    ``bodies``: ``("ball", x, y, z, r)`` or ``("board", x, y, z, half_w, half_h)``.
    """
    best = float("inf")
    for kind, x, y, z, *size in bodies:
        if kind == "board":
            inside = abs(z * dx - x) <= size[0] and abs(z * dy - y) <= size[1]
            best = min(best, z) if inside else best
        else:
            a, b = dx * dx + dy * dy + 1, dx * x + dy * y + z
            root = b * b - a * (x * x + y * y + z * z - size[0] ** 2)
            best = min(best, (b - root**0.5) / a) if root > 0 else best
    return best
