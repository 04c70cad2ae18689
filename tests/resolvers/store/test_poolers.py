"""Behind PgBouncer: in session mode all works, in transaction mode the server says that it does not."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from resolvers.base.errors import Unavailable
from resolvers.store.postgres import requirements as fitness
from resolvers.store.postgres.database import Database
from resolvers.store.postgres.database_url import parse
from tests.helpers.freezing import FreezingProxy
from tests.helpers.processes import free_port

Pooler = Callable[[str], AbstractAsyncContextManager[str]]  # takes a pool_mode, gives a URL

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="there is no pgbouncer here")


@pytest.fixture
def pooler(database_url: str) -> Pooler:
    @asynccontextmanager
    async def start(mode: str) -> AsyncIterator[str]:
        address, port = parse(database_url), free_port()
        async with FreezingProxy.to(database_url) as server:
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)  # noqa: PTH101  it wants to be nobody rather than root
                users, settings = Path(folder) / "users", Path(folder) / "pgbouncer.ini"
                users.write_text(f'"{address.user}" "{address.password or ""}"\n')
                settings.write_text(
                    f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                    f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
                    f"pool_mode = {mode}\n"
                )
                user = ["-u", "nobody"] if os.geteuid() == 0 else []
                process = subprocess.Popen(["pgbouncer", "-q", *user, str(settings)], stderr=subprocess.DEVNULL)
                try:
                    await _listens(port)
                    yield f"postgresql://{address.user}:x@127.0.0.1:{port}/{address.database}"
                finally:
                    process.kill()
                    process.wait()

    return start


async def _listens(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.parametrize("query", ["", "?pgbouncer=true"])
async def test_a_session_s_settings_come_through_a_pooler_in_session_mode(pooler: Pooler, query: str) -> None:
    async with pooler("session") as url:
        database = Database(url + query)
        await fitness.check(database)
        async with database.driver() as connection:
            names = ("statement_timeout", "plan_cache_mode")
            shown = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
        await database.close()

    assert shown == ["30s", "force_custom_plan"]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_that_shares_sessions_is_recognised_and_refused(pooler: Pooler, mode: str) -> None:
    async with pooler(mode) as url:
        database = Database(url)
        with pytest.raises(fitness.Unfit, match="shares connections between transactions"):
            await fitness.check(database)
        await database.close()


async def test_a_start_up_parameter_that_a_pooler_refuses_is_told_with_the_remedy(pooler: Pooler) -> None:
    async with pooler("session") as url:
        database = Database(f"{url}?options=-csearch_path%3Dpublic")
        with pytest.raises(Unavailable) as failed:
            await fitness.check(database)
        await database.close()

    assert "ignore_startup_parameters = options" in failed.value.reason
