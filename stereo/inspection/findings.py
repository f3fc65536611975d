"""What deserves attention in a description, as sentences."""

from collections.abc import Mapping
from typing import Any

SHARE = 0.01
"""Shares of a camera's events below it are not worth a sentence."""

ONE_SIDED = 0.9
"""Share of one polarity from which on the other is hardly there."""

ROWS_PX = 0.5
"""Row offset up to which matching along rows works."""

UNEVEN = 3.0
"""Ratio of the rates of the two cameras from which on matching suffers."""


def findings(document: Mapping[str, Any]) -> list[str]:
    """Return what deserves attention, most serious first; empty if all is well.

    Args:
        document: the description, as ``--json`` prints it.
    """
    found: list[str] = []
    for camera, facts in document["cameras"].items():
        if facts is not None:
            found += _of_camera(camera, facts)
    return [*_of_pair(document), *found, *_of_truth(document)]


def _of_pair(document: Mapping[str, Any]) -> list[str]:
    """Return what concerns both cameras."""
    found: list[str] = []
    rows, left, right = (
        document["row_offset"],
        document["cameras"]["left"],
        document["cameras"]["right"],
    )
    if rows is not None and rows["reliable"] and abs(rows["offset_px"]) > ROWS_PX:
        how = (
            "the calibration does not fit these cameras"
            if document["calibration"] is not None
            else "give a calibration (--calibration), or infer with --uncalibrated"
        )
        found.append(f"The right view lies {rows['offset_px']:+.1f} rows off the left one: {how}.")
    if left is None or right is None:
        return found
    rates = [facts["rate_per_s"] or 0.0 for facts in (left, right)]
    if min(rates) > 0 and max(rates) / min(rates) > UNEVEN:
        found.append(
            f"One camera has {max(rates) / min(rates):.1f} times the events of the other; equal "
            "thresholds match better."
        )
    if document["overlap_s"] == 0:
        found.append("The cameras share no time: check clock, units and offset (--offset-us).")
    return found


def _of_camera(camera: str, facts: Mapping[str, Any]) -> list[str]:
    """Return what concerns one camera."""
    found: list[str] = []
    events = max(1, facts["events"])
    if facts["unsorted"]:
        found.append(f"{camera}: {facts['unsorted']:,} events come before their predecessor.")
    if facts["hot_pixels"] and facts["hot_share"] >= SHARE:
        x, y, count = facts["hottest"][0]
        found.append(
            f"{camera}: {facts['hot_pixels']:,} hot pixels make {facts['hot_share']:.0%} of the "
            f"events; the worst, ({x}, {y}), {count:,}."
        )
    for key, what in (
        ("out_of_sensor", f"lie outside the {facts['width']} x {facts['height']} sensor"),
        ("duplicates", "repeat an earlier event"),
        ("outside_overlap", "lie outside the time that both cameras cover"),
    ):
        if facts[key] / events >= SHARE:
            found.append(f"{camera}: {facts[key]:,} events ({facts[key] / events:.0%}) {what}.")
    share = facts["on_share"]
    if share is not None and not 1 - ONE_SIDED <= share <= ONE_SIDED:
        found.append(
            f"{camera}: {share:.1%} of the events are ON: one polarity is nearly or wholly missing."
        )
    return found


def _of_truth(document: Mapping[str, Any]) -> list[str]:
    """Return what concerns the ground truth."""
    truth = document["ground_truth"]
    if truth is None:
        return []
    found = []
    if truth["within_events"] < truth["count"] - 1:
        found.append(
            f"Ground truth: {truth['count'] - truth['within_events']} of {truth['count']} lie "
            "outside the time of the events."
        )
    if truth["disparity_px"] is None:
        found.append("Ground truth: none of those read has a valid pixel.")
    return found
