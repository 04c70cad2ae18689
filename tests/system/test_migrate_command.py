"""bcom-graphql migrate: makes a database, brings it up to date, and takes it back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text

from resolvers.context import Services
from resolvers.store.postgres.database_url import parse
from resolvers.store.postgres.migrations import revisions
from tests.conftest import SECRET, Clones, replace_database
from tests.helpers.processes import run
from tests.helpers.support import Factory, sql


@pytest.fixture
def new_url(database_url: str, clones: Clones) -> Iterator[str]:
    """Of a database that is not there yet, and whose name needs quotes."""
    url = replace_database(database_url, f"test_{uuid4().hex} is new")
    yield url
    clones.give_back(url)


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    found: object = await connection.fetchval(query)
    await connection.close()
    return found


async def test_create_makes_the_database_once_however_many_ask(tmp_path: Path, new_url: str) -> None:
    several = [asyncio.to_thread(run, tmp_path, "migrate", "--create", DATABASE_URL=new_url) for _ in range(2)]

    results = await asyncio.gather(*several)
    again = run(tmp_path, "migrate", "--create", DATABASE_URL=new_url)

    for result in (*results, again):
        assert result.returncode == 0, result.stderr
        assert f"The database is at revision {revisions()[-1]}." in result.stderr
    assert sum("The database is made." in result.stderr for result in results) == 1
    assert "is made" not in again.stderr
    assert await value(new_url, "SELECT version_num FROM alembic_version") == revisions()[-1]


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_missing_database_is_named_and_how_to_make_it(tmp_path: Path, new_url: str, command: str) -> None:
    result = run(tmp_path, command, DATABASE_URL=new_url, SECRET_KEY=SECRET)

    assert result.returncode == 1
    assert 'it has no database "test_' in result.stderr
    assert "bcom-graphql migrate --create" in result.stderr
    assert "Traceback" not in result.stderr


async def test_who_may_not_make_a_database_is_told_what_to_do(tmp_path: Path, new_url: str, services: Services) -> None:
    role = f"poor_{uuid4().hex}"
    await sql(services, f"CREATE ROLE {role} LOGIN PASSWORD '{parse(new_url).password}'")
    try:
        poor = new_url.replace("//postgres:", f"//{role}:")
        result = await asyncio.to_thread(run, tmp_path, "migrate", "--create", DATABASE_URL=poor)
    finally:
        await sql(services, f"DROP ROLE {role}")

    assert result.returncode == 1
    assert "cannot be made: permission denied to create database." in result.stderr
    assert "CREATEDB" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://me:hush-hush@127.0.0.1:9/nothing",
            "cannot be reached at 127.0.0.1:9, database nothing: nobody listens there",
        ),
        ("postgresql://me:hush-hush@127.0.0.1:9", "DATABASE_URL names no database"),
    ],
)
def test_create_says_what_is_wrong_with_the_url(tmp_path: Path, url: str, said: str) -> None:
    result = run(tmp_path, "migrate", "--create", DATABASE_URL=url)

    assert result.returncode == 1
    assert said in result.stderr
    assert "hush-hush" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


async def test_to_takes_a_database_with_its_data_back_and_forth(
    tmp_path: Path, database_url: str, make: Factory
) -> None:
    await make.anomaly()

    back = run(tmp_path, "migrate", "--to", "0006", DATABASE_URL=database_url)
    gone = await value(database_url, "SELECT to_regclass('recommendations')")
    kept = await value(database_url, "SELECT count(*) FROM anomalies")
    forth = run(tmp_path, "migrate", DATABASE_URL=database_url)

    assert (back.returncode, forth.returncode) == (0, 0), back.stderr + forth.stderr
    assert "The database is at revision 0006." in back.stderr
    assert f"The database is at revision {revisions()[-1]}." in forth.stderr
    assert (gone, kept) == (None, 1)


def test_to_wants_a_revision_that_there_is(tmp_path: Path, database_url: str) -> None:
    result = run(tmp_path, "migrate", "--to", "9999", DATABASE_URL=database_url)

    assert result.returncode == 1
    assert "There is no revision 9999; there are 0001, 0002" in result.stderr


@pytest.mark.parametrize("command", ["migrate", "serve"])
async def test_an_older_version_says_that_a_newer_one_has_migrated(
    tmp_path: Path, database_url: str, services: Services, command: str
) -> None:
    async with services.database.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    result = await asyncio.to_thread(run, tmp_path, command, DATABASE_URL=database_url, SECRET_KEY=SECRET)

    assert result.returncode == 1
    assert "The database is at revision 9999" in result.stderr
    assert f"bcom-graphql migrate --to {revisions()[-1]}" in result.stderr
    assert "Traceback" not in result.stderr


async def test_models_are_trained_only_where_they_are_missing(tmp_path: Path, database_url: str) -> None:
    before = await value(database_url, "SELECT count(*) FROM model_versions")

    result = await asyncio.to_thread(run, tmp_path, "migrate", "--models", DATABASE_URL=database_url)

    assert result.returncode == 0, result.stderr
    assert await value(database_url, "SELECT count(*) FROM model_versions") == before
