"""The command that makes a database ready: bcom-graphql migrate."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from bcom_graphql import app
from bcom_graphql.cli import startup as prepare
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.store.postgres.create_database import create_database
from resolvers.store.postgres.migrations import HEAD
from resolvers.store.postgres.migrations import migrate as migrate_database

console = Console(stderr=True)


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
    with prepare.database(Settings()) as settings:
        asyncio.run(_migrate(settings, create=create, models=models, to=to))


async def _migrate(settings: Settings, *, create: bool, models: bool, to: str) -> None:
    assert settings.database_url is not None  # noqa: S101  prepare.database sees to it
    if create and await create_database(settings.database_url.get_secret_value()):
        console.print("The database is made.")
    if models:
        with prepare.progress_bar() as bar:
            await prepare.ready(settings, bar)
    services = app.services(settings)
    try:
        revision = await migrate_database(services.database, to)
    finally:
        await services.database.close()
    console.print(f"The database is at revision {revision}.", highlight=False)
