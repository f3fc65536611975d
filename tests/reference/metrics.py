"""Slow, obvious twin of ``stereo.metrics``: one Python loop per pixel, sorted lists."""

import math


def accuracy(estimates, truths, fb):
    """Return the measures as a dictionary; None if no pixel has ground truth."""
    images = []
    for estimate, truth in zip(estimates, truths, strict=True):
        pairs = [
            (float(d), float(t))
            for row_d, row_t in zip(estimate, truth, strict=True)
            for d, t in zip(row_d, row_t, strict=True)
            if math.isfinite(t) and t > 0
        ]
        if pairs:
            images.append(pairs)
    if not images:
        return None

    def average(measure):
        return sum(sum(measure(d, t) for d, t in p) / len(p) for p in images) / len(images)

    def rmse(pairs):
        return math.sqrt(sum((d - t) ** 2 for d, t in pairs) / len(pairs))

    return {
        "mae_px": average(lambda d, t: abs(d - t)),
        "one_pe_percent": 100 * average(lambda d, t: abs(d - t) > 1),
        "two_pe_percent": 100 * average(lambda d, t: abs(d - t) > 2),
        "rmse_px": sum(rmse(pairs) for pairs in images) / len(images),
        "mean_depth_error_m": average(lambda d, t: abs(fb / (d + 1e-7) - fb / (t + 1e-7))),
        "constant_mae_px": min(
            average(lambda _, t, c=c: abs(c - t)) for c in {t for p in images for _, t in p}
        ),
        "valid_pixels": sum(len(pairs) for pairs in images),
        "images": len(images),
    }
