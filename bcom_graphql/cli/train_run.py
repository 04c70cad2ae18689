"""`bcom-graphql train-run`: what a server starts for a training, and nobody else."""

import asyncio
import os
import signal
from contextlib import suppress
from uuid import UUID

import typer

from bcom_graphql.cli.database import connected
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from resolvers.base.errors import ClientError
from resolvers.models.trainer import perform

NICENESS = 10  # whoever is served goes first

app = typer.Typer(add_completion=False)


@app.command()
def train_run(run: UUID) -> None:
    """Work on one waiting training run, until it is done or the server that started this ends."""
    os.nice(NICENESS)
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    with suppress(ClientError, asyncio.CancelledError):  # the run says it, and the log
        asyncio.run(_work(settings, run))
    os._exit(0)  # a thread may still be at it, in the middle of C code


async def _work(settings: Settings, run: UUID) -> None:
    work = asyncio.current_task()
    assert work is not None  # noqa: S101
    loop = asyncio.get_running_loop()

    def end() -> None:
        """Standard input has ended, and so has the server. It goes on ending, but once is enough."""
        loop.remove_reader(0)
        work.cancel()

    loop.add_reader(0, end)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    async with connected(settings) as services:
        await perform(services, run)
