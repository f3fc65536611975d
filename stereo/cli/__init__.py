"""The command line: the only place that parses arguments or prints.

One module per command. Each imports what is heavy (torch, OpenCV, Numba) inside the command, so
that ``stereo --help`` answers at once.
"""

from typing import Annotated

import typer

from stereo import __version__
from stereo.cli.energy import energy
from stereo.cli.eval import evaluate
from stereo.cli.infer import infer
from stereo.cli.inspect import inspect
from stereo.cli.presets import presets
from stereo.cli.search import search
from stereo.cli.simulate import simulate
from stereo.cli.submit import submit
from stereo.cli.train import train

app = typer.Typer(
    name="stereo",
    help="Depth from two event cameras, and the energy of every layer that computes it.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for command in (infer, inspect, simulate, search, train, submit, presets):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(energy, name="energy")


def _print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"stereo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; the console script ``stereo``."""
    app()
