"""`bcom-graphql migrate`."""

import asyncio
from typing import Annotated

import typer

from bcom_graphql.cli.database import connected, database
from bcom_graphql.cli.output import console, progress_bar
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.store.postgres.create_database import create_database
from resolvers.store.postgres.migrations import HEAD
from resolvers.store.postgres.migrations import migrate as migrate_database

app = typer.Typer(add_completion=False)


@app.command()
def migrate(
    *,
    create: Annotated[bool, typer.Option("--create", help="Make the database first where it is missing.")] = False,
    models: Annotated[bool, typer.Option("--models", help="Give each model its first version, too.")] = False,
    to: Annotated[
        str,
        typer.Option(
            help="A revision. What came after it is undone, and what only newer tables and columns hold is lost:"
            " for going back to an older version.",
            metavar="REVISION",
        ),
    ] = HEAD,
) -> None:
    """Bring the database up to date."""
    if models and to != HEAD:
        raise typer.BadParameter("Models are stored on the newest revision: leave out --to or --models.")
    configure_logging("console", "error")
    with database(Settings()) as settings:
        asyncio.run(_migrate(settings, create=create, models=models, to=to))


async def _migrate(settings: Settings, *, create: bool, models: bool, to: str) -> None:
    assert settings.database_url is not None  # noqa: S101  `database` sees to it
    if create and await create_database(settings.database_url.get_secret_value()):
        console.print("The database is made.")
    if models:
        from bcom_graphql.cli.startup import make_ready

        with progress_bar() as bar:
            await make_ready(settings, bar)
    async with connected(settings) as services:
        revision = await migrate_database(services.database, to)
    console.print(f"The database is at revision {revision}.", highlight=False)
