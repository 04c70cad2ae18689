"""The migrations lead to exactly the tables that the code declares."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from resolvers.context import Services
from resolvers.store.migrations import migrate, pending, scripts
from resolvers.store.partitions import is_declared
from resolvers.store.tables import Table


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_declared})
    return list(compare_metadata(context, Table.metadata))


def undo(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


async def test_the_migrations_make_the_tables_that_the_code_declares(services: Services) -> None:
    async with services.database.engine.connect() as connection:
        found = await connection.run_sync(differences)

    assert found == []


async def test_every_migration_can_be_undone_and_done_again(services: Services) -> None:
    async with services.database.engine.begin() as connection:
        await connection.run_sync(undo)
        left = await connection.run_sync(lambda sync: inspect(sync).get_table_names())

    await migrate(services.database)

    assert left == ["alembic_version"]
    assert not await pending(services.database)
