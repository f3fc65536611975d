"""``stereo energy``: what one inference costs, layer by layer, and beside what."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stereo.cli.errors import guarded

if TYPE_CHECKING:
    from rich.table import Table

    from stereo.accounting.account import Account, Pricing
    from stereo.accounting.compare import Comparison
    from stereo.accounting.request import Request

FORMS = (".json", ".csv", ".md", ".html")
"""Suffixes of the files that a report can be written to."""

energy = typer.Typer(help="Count and price one inference, layer by layer.")

Run = Annotated[
    Path | None,
    typer.Option(help="Run folder of a trained network.", show_default="the shipped network"),
]
Preset = Annotated[str | None, typer.Option(help="Fresh network of a preset (stereo presets).")]
GenotypeFile = Annotated[
    str | None, typer.Option("--genotype", help="Fresh network of a genotype file or name.")
]
Model = Annotated[
    str | None,
    typer.Option(metavar="PKG.MOD:FACTORY", help="Network of your own, with --input."),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="SHAPE|FILE",
        help="Recording; WxH or TxBxCxHxW (random); or .npy, .npz, .safetensors.",
        show_default="the built-in generated recording",
    ),
]
Technology = Annotated[str, typer.Option(help="Prices: a name, or a .toml file.")]
Memory = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Memory model.", show_default="none")
]
Samples = Annotated[
    int | None,
    typer.Option(
        help="Different inputs to average over.", show_default="3 random or 2 recorded ones"
    ),
]
Width = Annotated[
    int | None,
    typer.Option(help="Columns of the middle part of a recording.", show_default="all"),
]
Height = Annotated[int | None, typer.Option(help="Rows of it.", show_default="all")]
Density = Annotated[float, typer.Option(help="Share of ones in random spikes.")]
AnalogInput = Annotated[
    bool, typer.Option("--analog-input", help="Random numbers in [0, 1) instead of spikes.")
]
SpikingInput = Annotated[
    bool, typer.Option("--spiking-input", help="The inputs of --model are spikes.")
]
BatchDim = Annotated[
    int | None,
    typer.Option(
        help="Axis of the samples in the inputs of --model; 1 if time comes first.",
        show_default="the model's batch_dim, else 0",
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Networks of the field beside it.")
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare", help="One table at 346x260 and 640x480, with SpikeDHS's published genotype."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE", help="Folder, or a file .json, .csv, .md, .html.", show_default="none"
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail if declared spikes are none.")]
Seed = Annotated[int, typer.Option(help="Of random inputs and fresh weights.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@energy.callback(invoke_without_command=True)
@guarded
def count(
    context: typer.Context,
    run: Run = None,
    preset: Preset = None,
    genotype: GenotypeFile = None,
    model: Model = None,
    given: Input = None,
    technology: Technology = "45nm-fp32",
    memory: Memory = None,
    samples: Samples = None,
    width: Width = None,
    height: Height = None,
    density: Density = 0.05,
    analog_input: AnalogInput = False,
    spiking_input: SpikingInput = False,
    batch_dim: BatchDim = None,
    baselines: Baselines = True,
    compare: Compare = False,
    out: Out = None,
    strict: Strict = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Count and price one inference, layer by layer, beside its analog twin and the field."""
    if context.invoked_subcommand is not None:
        return
    from stereo.accounting.account import Pricing
    from stereo.accounting.inputs import Chance
    from stereo.accounting.request import Request
    from stereo.errors import StereoError

    _check(out)
    if model is None and batch_dim is not None:
        raise StereoError("--batch-dim is for --model; stereo networks know their axes.")
    if model is not None and compare:
        raise StereoError("--compare is for stereo networks; leave it out with --model.")
    request = Request(
        run=run, preset=preset, genotype=genotype, model=model, text=given, width=width,
        height=height, samples=samples, spiking_input=spiking_input,
        chance=Chance(density=density, analog=analog_input, seed=seed),
    )  # fmt: skip
    pricing = Pricing(technology=technology, memory=memory, strict=strict, batch_dim=batch_dim)
    found, sizes = _count(request, pricing, baselines=baselines, compare=compare)
    document = found.to_dict() | (
        {"compare": [size.to_dict() for size in sizes]} if compare else {}
    )
    written = _write(found, document, out) if out is not None else []
    if as_json:
        from stereo.cli.console import print_json

        print_json(document)
        return
    _print(found, sizes, written)


@energy.command()
@guarded
def diff(
    before: Annotated[Path, typer.Argument(help="Report (.json) that --out wrote.")],
    after: Annotated[Path, typer.Argument(help="Report to compare it with.")],
    technology: Annotated[
        str | None,
        typer.Option(help="Prices of both: a name, or a .toml file.", show_default="their own"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File .json or .md.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what changed between two reports, layer by layer."""
    from energy import EnergyReport
    from energy.reports.diff import diff as compare_reports
    from energy.technology import technology as find_technology
    from stereo.cli.console import print_json, result_console

    prices = None if technology is None else find_technology(technology)
    found = compare_reports(EnergyReport.load(before), EnergyReport.load(after), prices)
    if out is not None:
        found.write(out)
    if as_json:
        print_json(found.to_dict())
        return
    console = result_console()
    console.print(found.table())
    for line in found.summary:
        console.print(line, style="dim", markup=False)


def _count(
    request: "Request", pricing: "Pricing", *, baselines: bool, compare: bool
) -> "tuple[Account, tuple[Comparison, ...]]":
    """Run what was asked for, with progress."""
    from data.simulator import builtin_recording
    from stereo.accounting.account import account
    from stereo.accounting.compare import compare as compare_networks
    from stereo.cli.console import progress

    def builtin() -> Path:
        with progress("Making the built-in recording (first use)") as advance:
            return builtin_recording(lambda share: advance(share, 1.0))

    with request.opened(builtin) as (subject, inputs, source):
        with progress("Counting", "runs") as advance:
            found = account(subject, inputs, pricing, baselines=baselines, progress=advance)
        if not compare or source is None:
            return found, ()
        with progress("Comparing", "networks") as advance:
            return found, compare_networks(
                subject, source, pricing, seed=request.seed, progress=advance
            )


def _check(out: Path | None) -> None:
    """Refuse a result file of an unknown kind before anything is counted."""
    from stereo.errors import StereoError

    if out is not None and out.suffix and not out.is_dir() and out.suffix.lower() not in FORMS:
        raise StereoError(
            f"--out takes a folder or a file {', '.join(FORMS)}, got {out}; a folder has no dot in "
            "its name, or exists."
        )


def _write(found: "Account", document: dict[str, Any], out: Path) -> list[Path]:
    """Write one file, or all forms into a folder; the JSON form holds the whole document."""
    from stereo.atomic import write_json
    from stereo.errors import StereoError

    single = out.suffix.lower() in FORMS and not out.is_dir()
    paths = [out] if single else [out / f"energy{form}" for form in FORMS]
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.suffix.lower() == ".json":
                write_json(path, document)
            else:
                found.report.write(path)
    except OSError as error:
        raise StereoError(
            f"The report cannot be written to {out} ({error.strerror or error}). Give a place that "
            "you may write to with --out."
        ) from error
    return paths


def _print(found: "Account", sizes: "Sequence[Comparison]", written: list[Path]) -> None:
    """Print what a person wants to know, at most 100 columns wide."""
    from rich.markup import escape

    from stereo.cli.console import result_console

    console = result_console()
    console.print(f"\n[bold]{escape(found.network)}[/] on {escape(found.inputs)}")
    # The long table first: what one looks for then stands on the last screen.
    console.print()
    console.print(found.report.table())
    for line in found.report.summary:
        console.print(line, style="dim", markup=False)
    if found.twin is not None:
        console.print()
        console.print(_beside(found))
        for line in _constants(found):
            console.print(line, style="dim", markup=False)
    for size in sizes:
        console.print()
        console.print(_compared(size))
        console.print(f"on {size.subject.inputs}", style="dim", markup=False)
    console.print()
    for line in found.notes:
        console.print(f"Note: {line}", markup=False)
    console.print(_total(found), markup=False)
    for path in written:
        # Paths are printed whole: a wrapped path cannot be copied.
        console.print(f"Written  {path}", markup=False, soft_wrap=True)


def _total(found: "Account") -> str:
    """Return the total with its spread, and the ratio."""
    spread = found.spread
    words = f"Energy   {found.report.total_mj:.4g} mJ per inference"
    if spread["std_mj"] is not None:
        words += (
            f", {spread['inputs']} inputs: standard deviation {spread['std_mj']:.2g}, "
            f"{spread['min_mj']:.4g} to {spread['max_mj']:.4g} mJ"
        )
    if found.ratio is not None:
        words += f"\nRatio    {found.ratio:.3g} (analog twin over this network)"
    return words


def _beside(found: "Account") -> "Table":
    """Return the network, its twin and the field at one size."""
    from energy.report import si
    from stereo.accounting.beside import Published, over

    report, twin = found.report, found.twin
    total_mj: float | None = report.total_mj
    ratio: float | None = 1.0
    rows = [("this network", "", report.steps, si(report.ac), si(report.mac), total_mj, ratio)]
    if twin is not None:
        work = (si(twin.ac), si(twin.mac))
        rows.append(("its analog twin", "", twin.steps, *work, twin.total_mj, found.ratio))
    for each in found.baselines:
        name = each.name + (" (an SNN, as if dense)" if each.spiking else "")
        size = f"{each.width}x{each.height}"
        rows.append((name, size, each.steps, "-", si(each.mac), each.total_mj, each.ratio))
    table = _table("Beside it, for one pair of windows", ("network", "runs at"))
    for name, size, steps, ac, mac, total_mj, ratio in rows:
        table.add_row(
            name, size, str(steps), ac, mac, _mj(total_mj), _times(ratio),
            _times(over(total_mj, Published().total_mj)),
        )  # fmt: skip
    return table


def _constants(found: "Account") -> list[str]:
    """Say with which constants the table was made, and what that means for the published claim."""
    from stereo.accounting.beside import Published

    report = found.report
    prices = report.technology
    mac_pj = "no price" if prices.mac_pj is None else f"{prices.mac_pj:g} pJ"
    lines = [
        f"{prices.name}: AC {prices.ac_pj:g} pJ, MAC {mac_pj}; T = {report.steps} here, those of "
        "the others are in the table; taps that fall on the padding of a layer are counted for "
        "none, rows and columns that a network adds to its images are",
    ]
    if not found.baselines:
        return lines
    padded = ", ".join(f"{b.name} {b.mac_with_padding / 1e9:.2f} G" for b in found.baselines)
    lines.append(f"with taps on padding, as papers count: {padded}")
    claim = Published().to_dict(prices.mac_pj)
    implied = claim["implied_baseline_gmac"]
    at_price = "" if implied is None else f" = {implied:.1f} GMAC at {mac_pj}"
    lines.append(
        f"published: {claim['total_mj']:g} mJ and {claim['ratio']:g} times less, hence a baseline "
        f"of {claim['implied_baseline_mj']:.0f} mJ{at_price}; {claim['source']}"
    )
    lines += [f"{each.name}: {each.complete}; {each.source}" for each in found.baselines]
    return lines


def _compared(size: "Comparison") -> "Table":
    """Return the table of one size."""
    from energy.report import shorten, si
    from stereo.accounting.beside import Published, over

    table = _table(f"Comparison at {size.width}x{size.height}", ("network",))
    for row in size.rows:
        table.add_row(
            shorten(row.name, 44), str(row.steps), si(row.ac) if row.ac else "-", si(row.mac),
            _mj(row.total_mj), _times(row.ratio),
            _times(over(row.total_mj, Published().total_mj)),
        )  # fmt: skip
    return table


def _table(title: str, names: tuple[str, ...]) -> "Table":
    from rich.table import Table

    table = Table(title=title)
    for heading in (*names, "T", "AC", "MAC", "mJ", "x first", "x 6.7 mJ"):
        justify: Any = "left" if heading in names else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    return table


def _mj(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
