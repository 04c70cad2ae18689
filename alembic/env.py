"""Where Alembic meets our tables. Run by `bcom-graphql migrate`; for `alembic revision` set DATABASE_URL."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from resolvers.store.postgres.database import Database
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import demo as demo_tables
from resolvers.store.tables import imports as import_tables
from resolvers.store.tables import incidents as incident_tables
from resolvers.store.tables import models as model_tables
from resolvers.store.tables import recommendations as recommendation_tables
from resolvers.store.tables.core import Table
from resolvers.store.telemetry.partitions import is_declared

DECLARED = (
    analysis_tables,
    demo_tables,
    import_tables,
    incident_tables,
    model_tables,
    recommendation_tables,
)  # importing them adds their tables to the others


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Table.metadata, include_object=is_declared, compare_type=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    async with Database(os.environ["DATABASE_URL"]).long_transaction() as connection:
        await connection.run_sync(run)


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
