"""Progress without a terminal: few lines, each with the rate of what was done since the start."""

import io

import pytest
from rich.console import Console

from stereo.cli import console as shown


@pytest.fixture
def report(monkeypatch):
    """Return what calls a reporter at a time in seconds, and the text printed until then."""
    clock = [0.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: clock[0])
    text = io.StringIO()
    advance = shown.lines(Console(file=text, width=100), "Training", "steps")

    def call(seconds, done, total=1000, note=""):
        clock[0] = seconds
        advance(done, total, note)
        return text.getvalue()

    return call


def test_a_line_says_rate_note_and_time_left(report):
    report(0, 0)
    assert report(20, 100, note="loss 3") == (
        "Training: 100 of 1,000 steps, 5.0 steps/s, loss 3, 180 s left\n"
    )


def test_what_was_done_before_is_no_part_of_the_rate(report):
    report(5, 901)
    assert report(25, 941).endswith("941 of 1,000 steps, 2.0 steps/s, 30 s left\n")


def test_no_rate_before_two_reports(report):
    assert report(30, 1) == "Training: 1 of 1,000 steps\n"


def test_at_most_one_line_in_a_while_and_none_at_the_end(report):
    report(0, 0)
    for second in range(1, 30):
        report(second, second)
    assert report(40, 1000).count("\n") == 2
