"""Calling commands in this process, and what every refusal must look like."""

import re

from typer.testing import CliRunner

from stereo.cli import app


def call(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_refusal(result, pattern):
    """Check for exit code 2 and one paragraph that says what is wrong."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert re.search(pattern, result.stderr, re.IGNORECASE), result.stderr
