"""What must be true before anybody is served: a database, its migrations, a champion for every model."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pydantic import SecretStr
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bcom_graphql import app, demo
from bcom_graphql.settings import Settings
from ml.metrics import TargetKind
from ml.training import MODELS, train
from resolvers.context import Services
from resolvers.maintenance import make_partitions
from resolvers.store.embedded import embedded_postgres
from resolvers.store.migrations import migrate


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The settings with a DATABASE_URL: the given one, or an embedded server's that lives as long as this lasts."""
    if settings.database_url is not None:
        yield settings
        return
    with embedded_postgres(settings.data_folder) as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def progress_bar() -> Progress:
    return Progress(TextColumn("{task.description:45}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())


async def ready(settings: Settings, bar: Progress) -> None:
    """Migrate, train what is missing, and for the demo fill the fleet. Raises Unavailable."""
    services = app.services(settings)
    try:
        await migrate(services.database)
        await make_partitions(services)
        await train_missing(services, bar)
        if settings.demo:
            task = bar.add_task("Demo fleet", total=1.0)
            await demo.fill(services, lambda done, what: bar.update(task, completed=done, description=f"Demo: {what}"))
            bar.update(task, completed=1.0)
    finally:
        await services.database.close()


async def train_missing(services: Services, bar: Progress) -> None:
    """A first version of every model that has no champion."""
    for kind in await services.registry.missing():
        await train_one(services, bar, kind, "1.0.0", seed=1)


async def train_one(services: Services, bar: Progress, kind: TargetKind, version: str, seed: int) -> None:
    """Train, store and promote. Raises Conflict for a version that exists."""
    task = bar.add_task(f"Training {MODELS[kind]}", total=1.0)

    def advance(done: float, what: str) -> None:
        bar.update(task, completed=done, description=f"{MODELS[kind]}: {what}")

    detector = await asyncio.to_thread(partial(train, kind, version, seed, advance))
    await services.registry.add(kind, detector)
