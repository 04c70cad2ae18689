"""`bcom-graphql mappings`: what was said of files under a name."""

import asyncio
from typing import Annotated

import typer

from bcom_graphql.cli.database import database, migrated
from bcom_graphql.cli.output import fail
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.context import Context
from resolvers.store.tables.imports import ImportMapping
from resolvers.telemetry import mappings

app = typer.Typer(add_completion=False)


@app.command()
def manage(
    *,
    delete: Annotated[str | None, typer.Option(help="Delete the mapping of this name; needs --kind.")] = None,
    kind: Annotated[TargetKind | None, typer.Option(case_sensitive=False, help="What it is for.")] = None,
) -> None:
    """List or delete saved mappings of files' columns.

    `import --save-mapping NAME` saves one, `import --mapping NAME` uses it.
    """
    if delete is not None and kind is None:
        fail("--delete needs --kind: link, network or site.")
    configure_logging("console", "warning")
    with database(Settings()) as settings:
        listed = asyncio.run(_manage(settings, kind, delete))
    for mapping in listed:
        typer.echo(("deleted " if delete is not None else "") + _describe(mapping))


async def _manage(settings: Settings, kind: TargetKind | None, delete: str | None) -> list[ImportMapping]:
    async with migrated(settings) as services:
        context = Context(services, SYSTEM)
        if delete is not None and kind is not None:
            return [await mappings.delete_mapping(context, kind, delete)]
        return [row for row in await mappings.list_mappings(context) if kind in (None, row.kind)]


def _describe(mapping: ImportMapping) -> str:
    said = [f"{column['heading']}={column['field']}" for column in mapping.columns]
    options = {"decimal": mapping.decimal, "time zone": mapping.time_zone, "time unit": mapping.time_unit}
    said += [f"{name} {value}" for name, value in options.items() if value]
    return f"{mapping.kind.lower()} {mapping.name}: {'; '.join(said)}"
