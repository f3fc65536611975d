"""``stereo presets``: the configurations that come with the product, in full."""

from typing import TYPE_CHECKING, Annotated

import typer

from stereo.cli.errors import guarded

if TYPE_CHECKING:
    from stereo.classifier_config import ClassifierConfig
    from stereo.config import StereoConfig


@guarded
def presets(
    name: Annotated[
        str | None, typer.Argument(help="Preset to print in full.", show_default="list all")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the presets, or print one with everything in it."""
    from stereo.cli.console import print_json, result_console
    from stereo.tasks import ALL_PRESETS

    if name is not None:
        print_json(find(name).to_dict())
        return
    summaries = {
        key: (ALL_PRESETS[key].__doc__ or "").split("\n")[0] for key in sorted(ALL_PRESETS)
    }
    if as_json:
        print_json(summaries)
        return
    for key, summary in summaries.items():
        result_console().print(f"{key}: {summary}", markup=False)


def find(name: str) -> "StereoConfig | ClassifierConfig":
    """Return the configuration of a preset.

    Raises:
        StereoError: there is no preset of that name.
    """
    from stereo.errors import StereoError
    from stereo.tasks import ALL_PRESETS

    if name not in ALL_PRESETS:
        raise StereoError(f"There is no preset {name!r}; known: {', '.join(sorted(ALL_PRESETS))}.")
    found: StereoConfig | ClassifierConfig = ALL_PRESETS[name]()
    return found
