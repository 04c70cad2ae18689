"""PgBouncer before a database."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from resolvers.store.postgres.database_url import parse
from tests.helpers.freezing import FreezingProxy
from tests.helpers.processes import free_port

Pooler = Callable[[str], AbstractAsyncContextManager[str]]  # takes a pool_mode, gives a URL


@asynccontextmanager
async def pgbouncer(database_url: str, mode: str) -> AsyncIterator[str]:
    """Starts one; its URL."""
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
