"""What must be there before anybody is served: a database, its migrations, a champion of every model."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from pydantic import SecretStr
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bcom_graphql import app, demo, demo_account
from bcom_graphql.settings import Settings
from resolvers.accounts import users
from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict, InvalidInput
from resolvers.context import Context, Services
from resolvers.detection import profile_worker as learner
from resolvers.models import models, shipped, training
from resolvers.models.trainer import Outcome, perform
from resolvers.models.training import Period
from resolvers.operations.maintenance import make_partitions
from resolvers.store.models import training_runs as runs
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.postgres.migrations import migrate

logger = structlog.get_logger(__name__)


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
    """Migrate, give every model a champion, and for the demo fill the fleet. Raises Unavailable."""
    services = app.services(settings)
    try:
        await migrate(services.database)
        await (demo_account.move_in(services) if settings.demo else demo_account.move_out(services))
        await _tell_first_admin(services)
        await make_partitions(services)
        await runs.bury(services.database)
        await ensure_champions(services, bar)
        if settings.demo:
            task = bar.add_task("Demo fleet", total=1.0)
            await demo.fill(services, lambda done, what: bar.update(task, completed=done, description=f"Demo: {what}"))
            bar.update(task, description="Demo: learning what is ordinary")
            await learner.learn_due(services)
            bar.update(task, completed=1.0)
    finally:
        await services.database.close()


async def _tell_first_admin(services: Services) -> None:
    """How to become one, where registration is closed and nobody is."""
    async with services.database.read() as session:
        if services.open_registration or await users.has_admin(session):
            return
    logger.warning(
        "nobody is an admin yet: make one with `bcom-graphql user EMAIL --role admin`, or register with this token,"
        " which works once",
        token=services.tokens.first_admin,
    )


async def ensure_champions(services: Services, bar: Progress, folder: Path = shipped.FOLDER) -> None:
    """Gives every model without a champion its first one: that of `folder`, or one trained here. Raises Failed."""
    for model in await services.registry.missing():
        while model in await services.registry.missing():
            try:
                await _first_champion(services, bar, model, folder)
            except Conflict:  # another process is at it
                await asyncio.sleep(1.0)


async def _first_champion(services: Services, bar: Progress, model: str, folder: Path) -> None:
    """Promotes the shipped version; trains one where that cannot be used. Raises Failed, Conflict."""
    context = Context(services, SYSTEM)
    try:
        version = await shipped.store(context, model, folder)
    except (InvalidInput, Conflict) as error:
        logger.error("a shipped model cannot be used: another is trained", model=model, problem=error.message)  # noqa: TRY400  the sentence suffices
        await train_one(services, bar, model)
    else:
        await models.promote(context, version.id, force=True)


async def train_one(
    services: Services,
    bar: Progress,
    model: str,
    period: Period | None = None,
    version: str | None = None,
    seed: int = training.SEED,
) -> Outcome:
    """Train here, as a run that everybody sees. Raises Failed, InvalidInput, Conflict."""
    run = await training.queue(Context(services, SYSTEM), model, period, version, seed)
    task = bar.add_task(f"Training {model}", total=1.0)

    def advance(done: float, what: str) -> None:
        bar.update(task, completed=done, description=f"{model}: {what}")

    outcome = await perform(services, run.id, watch=advance)
    advance(1.0, "done")
    return outcome
