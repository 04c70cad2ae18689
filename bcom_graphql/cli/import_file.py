"""`bcom-graphql import`."""

import asyncio
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.table import Table

from bcom_graphql.cli.champions import ensure_champions
from bcom_graphql.cli.database import database, migrated
from bcom_graphql.cli.output import console, progress_bar
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.telemetry.file_import import Tally, import_file, open_file

SHOWN_REJECTIONS = 10

app = typer.Typer(add_completion=False)


@app.command()
def import_samples(
    *,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, its columns named like the sample input's fields.")],
    kind: Annotated[TargetKind, typer.Option(case_sensitive=False, help="What the samples were measured on.")],
) -> None:
    """Record a file's samples, scored like any others. Safe to repeat."""
    configure_logging("console", "warning")
    with open_file(file) as content, database(Settings()) as settings:
        tally = asyncio.run(_import(settings, kind, content, file.name))
    _report(tally)


async def _import(settings: Settings, kind: TargetKind, content: IO[bytes], name: str) -> Tally:
    """Returns what became of the file's rows."""
    tally = Tally()
    with progress_bar() as bar:
        async with migrated(settings) as services:
            await ensure_champions(services, bar)
            task = bar.add_task(f"Importing {name}", total=None)
            async for step in import_file(lambda: Context(services, SYSTEM), kind, content, name):
                bar.update(task, completed=step.rows, total=step.total)
                tally.add(step.recorded)
    return tally


def _report(tally: Tally) -> None:
    table = Table("rows", "accepted", "duplicates", "rejected", "anomalies touched")
    counts = (tally.rows, tally.accepted, tally.duplicates, tally.rejected_count, len(tally.anomalies))
    table.add_row(*(f"{number:,}" for number in counts))
    console.print(table)
    for reason, rows in tally.reasons.most_common():
        console.print(f"{rows:,} rejected: {reason}", markup=False, highlight=False)
    for entry in tally.rejected[:SHOWN_REJECTIONS]:
        console.print(f"  row {entry.row}: {entry.reason}", markup=False, highlight=False)
