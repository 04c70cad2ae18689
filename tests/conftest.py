"""A world for each test: its own clone of one template database, a real server on a real port, and clients for it."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any
from uuid import uuid4

import asyncpg
import hypothesis
import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST
from pydantic import BaseModel, SecretStr
from sqlalchemy import event

from bcom_graphql import app
from bcom_graphql.cli.champions import ensure_champions
from bcom_graphql.cli.output import progress_bar
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.services import USUAL_PACE, Pace, build_services
from bcom_graphql.settings import Settings
from resolvers.accounts.passwords import Passwords
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate
from tests.helpers.places import postgres_folder
from tests.helpers.shipped import template_fingerprint
from tests.helpers.support import Api, Clock, Factory, Server, serving

# Left behind by earlier runs; another session's are in use.
UNUSED = r"""SELECT datname FROM pg_database WHERE datname ~ '^(new_template_|template_|test_)[0-9a-f_]'
  AND NOT EXISTS (SELECT 1 FROM pg_stat_activity AS used WHERE used.datname = pg_database.datname)"""
SECRET = "a secret key that is long enough for tests"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of the template database: migrated, with the shipped models. Workers and later runs share it."""
    with _server() as url, (postgres_folder() / "template.lock").open("w") as lock:
        template = f"template_{template_fingerprint()}"
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(_ensure_template(url.replace("+asyncpg", ""), template))
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield replace_database(url, template)


def _server() -> AbstractContextManager[str]:
    """The URL of a superuser's database on the embedded PostgreSQL, or on another one: see `make test-postgres15`."""
    postgres_folder().mkdir(parents=True, exist_ok=True)
    given = os.environ.get("TEST_DATABASE_URL")
    return nullcontext(given) if given else embedded_postgres(postgres_folder())


def replace_database(url: str, database: str) -> str:
    before, *query = url.split("?")
    return "?".join([f"{before.rsplit('/', 1)[0]}/{database}", *query])


async def _ensure_template(server: str, template: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute("ALTER SYSTEM SET fsync = off")  # a test's database need not survive the machine
    await connection.execute("SELECT pg_reload_conf()")
    known = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", template)
    if not known:
        for old in await connection.fetch(UNUSED):
            await connection.execute(f'DROP DATABASE IF EXISTS "{old["datname"]}"')
        await connection.execute(f'CREATE DATABASE "new_{template}"')
        await _fill(replace_database(server, f"new_{template}"))
        await connection.execute(f'ALTER DATABASE "new_{template}" RENAME TO "{template}"')
    await connection.close()


def settings_of(url: str, **given: Any) -> Settings:
    """The defaults, and what a test wants otherwise."""
    left_to_tests: dict[str, Any] = {"automatic_incidents": False, "automatic_recommendations": False}
    left_to_tests |= {"learning_seconds": 3600, "silence_seconds": 3600, "registration": "open"}
    given = {"secret_key": SecretStr(SECRET), "database_url": SecretStr(url), **left_to_tests, **given}
    settings = Settings.__new__(Settings)
    BaseModel.__init__(settings, **given)  # without a look at the environment, which takes longer than all else
    return settings


def hasty_passwords() -> Passwords:
    """Hashes them at a hundredth of the usual cost: nobody steals these."""
    return Passwords(hasher=PasswordHasher.from_parameters(CHEAPEST))


async def _fill(url: str) -> None:
    services = build_services(settings_of(url))
    await migrate(services.database)
    await maintain(services)
    with progress_bar() as bar:
        await ensure_champions(services, bar)
    await services.database.close()


class Clones:
    """Databases for tests, each made while the test before it runs, and dropped while the next one does."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._worker = ThreadPoolExecutor(1)
        self._next = self._worker.submit(asyncio.run, self._made())

    def take(self) -> str:
        url = self._next.result()
        self._next = self._worker.submit(asyncio.run, self._made())
        return url

    def give_back(self, url: str) -> None:
        self._worker.submit(asyncio.run, self._do(f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)'))

    def close(self) -> None:
        self.give_back(self._next.result())
        self._worker.shutdown()

    async def _made(self) -> str:
        """Files copied: the default, through the log, takes ten times as long."""
        name = f"test_{uuid4().hex}"
        await self._do(f'CREATE DATABASE "{name}" TEMPLATE "{_database(self._template)}" STRATEGY FILE_COPY')
        return replace_database(self._template, name)

    async def _do(self, statement: str) -> None:
        connection = await asyncpg.connect(replace_database(self._template, "postgres").replace("+asyncpg", ""))
        await connection.execute(statement)
        await connection.close()


def _database(url: str) -> str:
    return url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]


@contextmanager
def cloned(template: str) -> Iterator[str]:
    """A single one."""
    clones = Clones(template)
    url = clones.take()
    yield url
    clones.give_back(url)
    clones.close()


@pytest.fixture(scope="session")
def clones(postgres: str) -> Iterator[Clones]:
    made = Clones(postgres)
    yield made
    made.close()


@pytest.fixture
def database_url(clones: Clones) -> Iterator[str]:
    url = clones.take()
    yield url
    clones.give_back(url)


@pytest.fixture
def clock() -> Clock | None:
    """What servers and services take for the time, None for the real one. Rooms override it."""
    return None


@pytest.fixture
async def services(database_url: str, clock: Clock | None) -> AsyncIterator[Services]:
    """What the server works with; tests use it to build rows and to look at the database."""
    made = build_services(settings_of(database_url), clock, passwords=hasty_passwords())
    yield made
    await made.database.close()


@pytest.fixture
async def make(services: Services) -> Factory:
    return Factory(services)


@pytest.fixture
def server(database_url: str, clock: Clock | None) -> Server:
    """Starts a server of this test's own, like another process on the same database, with these settings."""

    @asynccontextmanager
    async def start(*, hashes_hastily: bool = True, pace: Pace = USUAL_PACE, **given: Any) -> AsyncIterator[Api]:
        settings = settings_of(database_url, **{"profile": "development", **given})
        services = build_services(settings, clock, hasty_passwords() if hashes_hastily else None, pace)
        async with serving(app.application(services, settings)) as url, Api.to(url, services) as client:
            yield client

    return start


@pytest.fixture
async def api(services: Services, database_url: str) -> AsyncIterator[Api]:
    """An anonymous client of a server of this test's own, over the same services that the test sees."""
    application = app.application(services, settings_of(database_url, profile="development"))
    async with serving(application) as url, Api.to(url, services) as client:
        yield client


@pytest.fixture
def statements(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every SQL statement that the server executes from now on; clear it before the act.

    But for those of the event feed, which reads when it is woken, whatever else goes on.
    """
    seen: list[str] = []

    def note(statement: str) -> None:
        if "min(events" not in statement:
            seen.append(statement)

    event.listen(
        services.database.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: note(statement),
    )
    execute = asyncpg.Connection._execute  # type: ignore[attr-defined]

    async def noted(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
        """What goes past SQLAlchemy; but not how the driver itself gets to know a new connection."""
        if "pg_catalog" not in query and "jit" not in query:
            note(query)
        return await execute(connection, query, *arguments, **options)

    monkeypatch.setattr(asyncpg.Connection, "_execute", noted)
    return seen


def pytest_configure(config: pytest.Config) -> None:
    """The developer's own settings must not leak into tests; logs are for the tests that look at them."""
    configure_logging("json", "error")
    hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("repeatable")
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
