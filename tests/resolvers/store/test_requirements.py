"""What a database must be is looked at before anything is done to it, and said in one sentence."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from resolvers.base.errors import Unavailable
from resolvers.context import Services
from resolvers.store.postgres import refusals, requirements
from resolvers.store.postgres.create_database import create_database
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.database_url import parse
from tests.conftest import Clones, replace_database
from tests.helpers.processes import run
from tests.helpers.support import sql

PASSWORD = "hush-hush"


async def said_of(url: str) -> str:
    """Why it cannot be used; empty where it can."""
    database = Database(url, pool_size=2)
    try:
        await requirements.check(database)
    except requirements.UnusableDatabase as unfit:
        return unfit.message
    except Unavailable as unavailable:
        return unavailable.reason
    finally:
        await database.close()
    return ""


def as_role(url: str, role: str, password: str = PASSWORD) -> str:
    address = parse(url)
    return url.replace(f"//{address.user}:{address.password or ''}@", f"//{role}:{password}@")


@pytest.fixture
async def role(services: Services) -> AsyncIterator[str]:
    """Somebody who may connect, and nothing else."""
    name = f"poor_{uuid4().hex}"
    await sql(services, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield name
    await sql(services, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def test_a_database_that_was_migrated_is_fit(database_url: str) -> None:
    assert await said_of(database_url) == ""


async def test_tables_of_somebody_else_are_told_with_their_owner(database_url: str, role: str) -> None:
    said = await said_of(as_role(database_url, role))

    assert f"its tables belong to postgres, and the role {role} may not change them" in said


async def test_a_role_that_only_reads_is_told_so_and_not_to_try_again_later(
    database_url: str, services: Services, role: str
) -> None:
    await sql(services, f"ALTER ROLE {role} SET default_transaction_read_only = on")

    said = await said_of(as_role(database_url, role))

    assert f"ALTER ROLE {role} RESET default_transaction_read_only" in said


async def test_a_role_that_may_make_no_tables_is_told_what_to_grant(
    database_url: str, clones: Clones, role: str
) -> None:
    new = replace_database(database_url, f"test_{uuid4().hex}")
    assert await create_database(new)
    try:
        said = await said_of(as_role(new, role))
    finally:
        clones.give_back(new)

    assert f"GRANT CREATE ON SCHEMA public TO {role}." in said


async def test_an_encoding_that_is_not_utf8_is_refused(database_url: str, clones: Clones, tmp_path: Path) -> None:
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(replace_database(database_url, "postgres").replace("+asyncpg", ""))
    await connection.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    await connection.close()
    try:
        result = run(tmp_path, "migrate", DATABASE_URL=replace_database(database_url, name))
    finally:
        clones.give_back(replace_database(database_url, name))

    assert result.returncode == 1
    assert "its encoding is SQL_ASCII, and must be UTF8" in result.stderr
    assert "Traceback" not in result.stderr


async def test_what_the_server_s_role_may_not_do_is_told_to_clients_as_nothing_to_try_again(
    database_url: str, services: Services, role: str
) -> None:
    await sql(services, f"GRANT SELECT ON sites TO {role}")
    database = Database(as_role(database_url, role))

    with pytest.raises(Unavailable, match="Tell whoever runs it") as failed:
        async with database.driver() as connection:
            await connection.execute("DELETE FROM sites")
    await database.close()

    assert "later" not in failed.value.message


def not_trusted(why: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = why
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncpg.InvalidPasswordError("no"), "refuses the password of the user me"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "Lower POOL_SIZE"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "Try again shortly"),
        (asyncpg.InvalidCatalogNameError("no"), "bcom-graphql migrate --create"),
        (
            asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry for host …, no encryption"),
            "Add sslmode=require",
        ),
        (asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry for host …, SSL on"), "pg_hba.conf"),
        (asyncpg.ProtocolViolationError("unsupported startup parameter: options"), "ignore_startup_parameters"),
        (ConnectionError('PostgreSQL server at "host:5432" rejected SSL upgrade'), "does not speak TLS"),
        (ConnectionRefusedError(), "nobody listens there"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] …"), "nobody listens there"),
        (TimeoutError(), "does not answer in time"),
        (ConnectionResetError(), "hangs up"),
        (not_trusted("self-signed certificate"), "Name the authority's certificate with sslrootcert"),
        (not_trusted("Hostname mismatch, certificate is not valid for 'host'."), "Name the host in DATABASE_URL as"),
        (asyncpg.ClientConfigurationError('root certificate file "x" does not exist\nEither …'), "Check DATABASE_URL."),
    ],
)
def test_every_reason_not_to_connect_has_a_sentence(error: Exception, said: str) -> None:
    assert said in refusals.explain(error, parse(f"postgres://me:{PASSWORD}@host/bcom"))
