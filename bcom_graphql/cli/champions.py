"""A champion of every model, and trainings that a command does itself."""

import asyncio
from pathlib import Path

import structlog
from rich.progress import Progress

from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict, InvalidInput
from resolvers.context import Context, Services
from resolvers.models import models, training
from resolvers.models.shipped.versions import FOLDER, store_version
from resolvers.models.trainer import Outcome, Train, perform
from resolvers.models.training import Period

logger = structlog.get_logger(__name__)


async def ensure_champions(
    services: Services, bar: Progress, folder: Path = FOLDER, train: Train | None = None
) -> None:
    """Gives every model without a champion its first one: that of `folder`, or one trained here.

    train: None is the usual training. Raises TrainingFailed.
    """
    for model in await services.registry.list_missing():
        while model in await services.registry.list_missing():
            try:
                await _first_champion(services, bar, model, folder, train)
            except Conflict:  # another process is at it
                await asyncio.sleep(1.0)


async def _first_champion(services: Services, bar: Progress, model: str, folder: Path, train: Train | None) -> None:
    """Promotes the shipped version; trains one where that cannot be used. Raises TrainingFailed, Conflict."""
    context = Context(services, SYSTEM)
    try:
        version = await store_version(context, model, folder)
    except (InvalidInput, Conflict) as error:
        logger.error("a shipped model cannot be used: another is trained", model=model, problem=error.message)  # noqa: TRY400  the sentence suffices
        await train_one(services, bar, model, train=train)
    else:
        await models.promote(context, version.id, force=True)


async def train_one(
    services: Services,
    bar: Progress,
    model: str,
    period: Period | None = None,
    version: str | None = None,
    seed: int = training.SEED,
    train: Train | None = None,
) -> Outcome:
    """Trains in this process, as a run that everybody sees. Raises TrainingFailed, InvalidInput, Conflict."""
    run = await training.queue(Context(services, SYSTEM), model, period, version, seed)
    task = bar.add_task(f"Training {model}", total=1.0)

    def advance(done: float, what: str) -> None:
        bar.update(task, completed=done, description=f"{model}: {what}")

    outcome = await perform(services, run.id, train, advance)
    advance(1.0, "done")
    return outcome
