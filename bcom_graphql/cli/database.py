"""The database that a command works on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pydantic import SecretStr

from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from resolvers.context import Services
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """Gives the settings with a DATABASE_URL: their own, or that of an embedded server, which lives inside."""
    if settings.database_url is not None:
        yield settings
        return
    with embedded_postgres(settings.data_folder) as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Services]:
    """Gives services whose database is closed at the end, whatever happens."""
    services = build_services(settings)
    try:
        yield services
    finally:
        await services.database.close()


@asynccontextmanager
async def migrated(settings: Settings) -> AsyncIterator[Services]:
    """As `connected`, with the database at the newest revision."""
    async with connected(settings) as services:
        await migrate(services.database)
        yield services
