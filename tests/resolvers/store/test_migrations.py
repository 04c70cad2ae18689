"""The migrations lead to exactly the tables that the code declares."""

import json

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.postgres.migrations import migrate, pending, scripts
from resolvers.store.tables.core import Table
from resolvers.store.telemetry.partitions import is_declared
from tests.helpers.shipped import shipped_version
from tests.helpers.support import Api, Factory, ago, record_levels, sql


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_declared})
    return list(compare_metadata(context, Table.metadata))


def undo(connection: Connection, to: str = "base") -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    command.downgrade(config, to)


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


async def test_what_was_stored_before_there_were_roll_ups_is_rolled_up(
    api: Api, make: Factory, services: Services
) -> None:
    operator, link = await api.as_(Role.OPERATOR), await make.link()
    document = """query ($n: Int!) { link(number: $n) { statistics(direction: OB, metrics: [RX_LEVEL_DBM],
      window: { hours: 960 }) { count min mean max last } } }"""
    await record_levels(operator, link, {ago(days=day): -45.0 - day for day in range(1, 40)})
    expected = await operator.run(document, n=link.number)
    async with services.database.engine.begin() as connection:
        await connection.run_sync(undo, "0001")

    await migrate(services.database)
    unrolled = await operator.run(document, n=link.number)
    await maintain(services)
    await sql(services, "UPDATE link_rollups SET rx_level_dbm_mean = -100 WHERE seconds = 86400")
    rolled = await operator.run(document, n=link.number)

    assert unrolled == expected
    assert rolled["link"]["statistics"][0]["count"] == 39
    assert rolled["link"]["statistics"][0]["min"] == -100


async def test_versions_from_before_their_columns_are_described_and_have_a_history(
    api: Api, services: Services
) -> None:
    old = {
        "algorithm": "isolation forest",
        "features": ["first", "second"],
        "hyperparameters": {"trees": 100},
        "seed": 7,
        "trained_on": {"dataset": "simulated", "rows": 1234},
    }
    async with services.database.engine.begin() as connection:
        await connection.run_sync(undo, "0002")
    async with services.database.write() as session:
        statement = """WITH old AS (UPDATE model_versions SET details = CAST(:details AS jsonb)
            WHERE model = 'anomaly_site' RETURNING *),
          new AS (INSERT INTO model_versions (model, version, sha256, artefact, details)
            SELECT model, '2.0.0', sha256, artefact, '{}' FROM old RETURNING id)
          UPDATE champions SET version_id = new.id FROM new WHERE model = 'anomaly_site'"""
        await session.execute(text(statement), {"details": json.dumps(old)})

    await migrate(services.database)

    document = """{ model(name: "anomaly_site") { versions { nodes { version stage algorithm features sizeBytes
      trainingSamples hyperparameters { name value } details { name } history { action by { id } } } } } }"""
    new, first = (await (await api.as_(Role.ADMIN)).run(document))["model"]["versions"]["nodes"]
    assert (new["version"], new["stage"], new["algorithm"]) == ("2.0.0", "ARCHIVED", "unknown")
    assert (first["version"], first["stage"]) == (shipped_version("anomaly_site"), "ARCHIVED")
    assert first["algorithm"] == "isolation forest"
    assert (first["features"], first["trainingSamples"]) == (["first", "second"], 1234)
    assert first["hyperparameters"] == [{"name": "trees", "value": "100"}]
    assert first["details"] == [{"name": "seed"}, {"name": "trained_on"}]
    assert first["sizeBytes"] == new["sizeBytes"] > 1000
    assert first["history"] == new["history"] == [{"action": "PROMOTED", "by": None}]


async def test_undoing_puts_back_into_details_what_columns_told(services: Services) -> None:
    async with services.database.engine.begin() as connection:
        before = await connection.scalar(text("SELECT features FROM model_versions WHERE model = 'anomaly_link'"))

        await connection.run_sync(undo, "0002")
        details = await connection.scalar(text("SELECT details FROM model_versions WHERE model = 'anomaly_link'"))

    assert details["features"] == before
    assert details["seed"] == 1
    assert details.keys() >= {"algorithm", "hyperparameters"}


async def test_addresses_get_one_spelling_and_no_two_accounts_become_one(services: Services) -> None:
    before = ["jose\u0301@example.com", "straße@example.com", "strasse@example.com", "ada\u200b@example.com"]
    async with services.database.engine.begin() as connection:
        await connection.run_sync(undo, "0007")
        for email in before:
            row = {"email": email, "role": Role.VIEWER, "hash": "x"}
            await connection.execute(
                text("INSERT INTO users (email, role, is_active, password_hash) VALUES (:email, :role, true, :hash)"),
                row,
            )

    await migrate(services.database)

    async with services.database.read() as session:
        after = list(await session.scalars(text("SELECT email FROM users ORDER BY id")))
    assert after == ["josé@example.com", *before[1:]]
