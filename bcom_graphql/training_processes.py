"""Runs trainings, each in a process of its own that ends with the server, so that the event loop stays free."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from bcom_graphql.settings import Settings
from resolvers.base.errors import ClientError
from resolvers.store.models import training_runs
from resolvers.store.postgres.database import Database

ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
PATIENCE: Final = 5.0  # seconds for a process to end by itself
ATTEMPTS: Final = 30  # to find its lock free afterwards

logger = structlog.get_logger(__name__)


class TrainerProcesses:
    """The training processes that this server process has started.

    Each has a pipe as its standard input, on which nothing is ever sent: when the pipe closes, because the server
    closes it or dies, the process ends. Its log goes where the server's goes.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._attended: dict[asyncio.Task[None], Process] = {}

    async def launch(self, run_id: UUID) -> None:
        """Starts the process of a training run. Raises OSError."""
        command = [sys.executable, "-m", "bcom_graphql", "train-run", str(run_id)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            env=self._environment(),
            start_new_session=True,  # Ctrl-C is for the server, which ends the process
        )
        logger.info("a training begins", run=str(run_id), process=process.pid)
        attending = asyncio.create_task(self._attend(run_id, process), name=f"training run {run_id}")
        self._attended[attending] = process
        attending.add_done_callback(self._attended.pop)

    async def stop(self) -> None:
        for process in self._attended.values():
            if process.stdin:
                process.stdin.close()
        if self._attended:
            await asyncio.wait(self._attended, timeout=PATIENCE)
        for process in self._attended.values():
            with suppress(ProcessLookupError):
                process.kill()
        if self._attended:
            await asyncio.wait(self._attended)

    def _environment(self) -> dict[str, str]:
        """Returns the process's environment, without the secret key and the metrics' folder."""
        settings = self._settings
        assert settings.database_url is not None  # noqa: S101  services are made with it
        own = {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "SECRET_KEY": "",
            "EVENTS_URL": settings.events_url.get_secret_value() if settings.events_url else "",
            "LOG_FORMAT": settings.log_format,
            "LOG_LEVEL": settings.log_level,
        }
        inherited = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        return {**inherited, **ONE_THREAD, **own}

    async def _attend(self, run_id: UUID, process: Process) -> None:
        """Waits for the process, and marks its run as over; maintenance does if this fails."""
        if code := await process.wait():
            logger.warning("a training's process ended badly", run=str(run_id), code=code)
        for _ in range(ATTEMPTS):
            with suppress(ClientError):
                if await training_runs.reap(self._database, run_id):
                    return
            await asyncio.sleep(0.1)  # PostgreSQL notices a moment later that a connection has ended
