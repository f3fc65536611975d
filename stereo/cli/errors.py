"""Exit codes: 0 done, 1 a failure of our own, 2 bad input, 130 Ctrl-C.

Bad input is an error class whose message is written for the user. It is printed as one paragraph,
without a traceback; everything else keeps its traceback, because it is ours to mend.
"""

import functools
import importlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

BAD_INPUT_CODE = 2
INTERRUPTED_CODE = 130

BAD_INPUT = (
    ("data.errors", "RecordingError"),
    ("stereo.errors", "StereoError"),
    ("nas.errors", "GenotypeError"),
    ("energy.errors", "EnergyError"),
)
"""Module and class of every error that means bad input; their subclasses are meant too."""

P = ParamSpec("P")
R = TypeVar("R")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command: print errors of the user's input, and set the exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("Stopped by Ctrl-C.", err=True)
            raise typer.Exit(INTERRUPTED_CODE) from None
        except Exception as error:
            if not isinstance(error, _bad_input()):
                raise
            _print_error(str(error))
            raise typer.Exit(BAD_INPUT_CODE) from None

    return run


def _bad_input() -> tuple[type[Exception], ...]:
    """Import the classes; only done once something has failed."""
    return tuple(getattr(importlib.import_module(module), name) for module, name in BAD_INPUT)


def _print_error(message: str) -> None:
    """Print one paragraph; red only where it marks the beginning and the terminal has colors."""
    typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(" ".join(message.split()), err=True)
