"""`bcom-graphql import`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from bcom_graphql.cli.champions import ensure_champions
from bcom_graphql.cli.database import database, migrated
from bcom_graphql.cli.output import console, fail, progress_bar
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.telemetry import mappings
from resolvers.telemetry.file_import import Tally, import_file, open_file
from resolvers.telemetry.import_options import ImportOptions

SHOWN_REJECTIONS: Final = 10
MOSTLY_UNUSABLE: Final = 3  # exit code

app = typer.Typer(add_completion=False)


@app.command()
def import_samples(
    *,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, its columns named like the sample input's fields.")],
    kind: Annotated[TargetKind, typer.Option(case_sensitive=False, help="What the samples were measured on.")],
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="HEADING=FIELD", help="Which column is which: 'Es/No [dB]=esnoDb'. Repeatable."),
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="A saved mapping, which says what is not said here.")] = None,
    save_mapping: Annotated[str | None, typer.Option(help="Save what is said here under this name, too.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal sign of numbers: . or a comma.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="The zone of times without an offset, such as Europe/Berlin.")
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option(help="The unit of times that are numbers: s, ms, us or ns. Default: by their size.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace stored values with the file's, instead of filling what is missing."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing; say what was understood.")] = False,
) -> None:
    """Record a file's samples, scored like any others. Safe to repeat.

    Ends with exit code 3 if more than a fifth of the rows, or of a column's values, could not be used.
    """
    configure_logging("console", "warning")
    pairs = _split_mappings(columns or [])
    options = ImportOptions(pairs, decimal, time_zone, time_unit, dry_run, overwrite=replace, mapping=mapping)
    with open_file(file) as content, database(Settings()) as settings:
        tally = asyncio.run(_import(settings, kind, content, file.name, options, save_mapping))
    _report(tally, is_dry=dry_run)
    if tally.alarms:
        raise typer.Exit(MOSTLY_UNUSABLE)


def _split_mappings(mappings: Sequence[str]) -> list[tuple[str, str]]:
    """Returns pairs of heading and field."""
    pairs = []
    for mapping in mappings:
        heading, sign, field = mapping.rpartition("=")
        if not (heading.strip() and sign and field.strip()):
            fail(f"--map {mapping}: this must be HEADING=FIELD, such as 'Es/No [dB]=esnoDb'.")
        pairs.append((heading, field))
    return pairs


async def _import(
    settings: Settings, kind: TargetKind, content: IO[bytes], name: str, options: ImportOptions, save_as: str | None
) -> Tally:
    """Returns what became of the file's rows. save_as: the name to save what is said of it under, if any."""
    tally = Tally()
    with progress_bar() as bar:
        async with migrated(settings) as services:
            if save_as is not None:
                context = Context(services, SYSTEM)
                said = await mappings.apply_mapping(context, kind, options)
                await mappings.save_mapping(context, kind, save_as, said)
            if not options.dry_run:
                await ensure_champions(services, bar)
            task = bar.add_task(f"{'Checking' if options.dry_run else 'Importing'} {name}", total=None)
            async for step in import_file(
                lambda: Context(services, SYSTEM), kind, content, name, options, tally.report
            ):
                bar.update(task, completed=step.rows, total=step.total)
                tally.add(step.recorded)
    return tally


def _report(tally: Tally, *, is_dry: bool) -> None:
    if is_dry:
        _report_columns(tally)
        _say(
            f"{tally.rows:,} rows, {tally.rejected_count:,} of them rejected. Nothing was recorded: this was a dry run."
        )
    else:
        _report_counts(tally)
    for reason, rows in tally.reasons.most_common():
        _say(f"{rows:,} rejected: {reason}")
    for entry in tally.rejected[:SHOWN_REJECTIONS]:
        _say(f"  row {entry.row} (line {entry.line}): {entry.reason}")
    for cells in tally.left_out:
        _say(f"{cells.count:,} values of {cells.column} left out: it {cells.reason}, and is {cells.example}.")
    if ignored := tally.report.columns.ignored:
        _say(f"Columns not read: {', '.join(ignored)}.")
    for warning in tally.warnings:
        _say(f"Warning: {warning}", style="yellow")


def _report_counts(tally: Tally) -> None:
    table = Table("rows", "accepted", "duplicates", "rejected", "anomalies touched")
    counts = (tally.rows, tally.accepted, tally.duplicates, tally.rejected_count, len(tally.anomalies))
    table.add_row(*(f"{number:,}" for number in counts))
    console.print(table)


def _report_columns(tally: Tally) -> None:
    table = Table("heading", "read as", "holds", "values", "missing", "left out")
    for column in tally.columns:
        counts = (f"{number:,}" for number in (column.values, column.missing, column.left_out))
        table.add_row(Text(column.heading), column.field, column.type, *counts)
    console.print(table)


def _say(sentence: str, style: str | None = None) -> None:
    console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
