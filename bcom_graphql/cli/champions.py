"""A champion of every model, and trainings that a command does itself."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog
from rich.progress import Progress

from resolvers.base.access import SYSTEM
from resolvers.base.errors import Conflict, InvalidInput
from resolvers.context import Context, Services
from resolvers.models import models, training
from resolvers.models.shipped.versions import FOLDER, REPLACED, find_replaced, store_version
from resolvers.models.trainer import Outcome, Train, perform
from resolvers.models.training import Period

logger = structlog.get_logger(__name__)


async def ensure_champions(
    services: Services,
    bar: Progress,
    folder: Path = FOLDER,
    train: Train | None = None,
    replaced: Mapping[str, frozenset[str]] = REPLACED,
) -> None:
    """Gives every model without a champion its first one: that of `folder`, or one trained here.

    A champion that an earlier release shipped is followed by that of this release; one that was trained here is not.

    train: None is the usual training. Raises TrainingFailed.
    replaced: see `REPLACED`.
    """
    for model in await services.registry.list_missing():
        while model in await services.registry.list_missing():
            try:
                await _first_champion(services, bar, model, folder, train)
            except Conflict:  # another process is at it
                await asyncio.sleep(1.0)

    context = Context(services, SYSTEM)
    for model in await find_replaced(context, replaced):
        try:
            await _promote_newer(context, model, folder)
        except Conflict as error:  # another process has done it, or a version of that name is somebody's own
            logger.warning("a newer shipped model was not promoted", model=model, reason=error.message)
        except InvalidInput as error:
            logger.error("a newer shipped model cannot be used", model=model, problem=error.message)  # noqa: TRY400  the sentence suffices


async def _promote_newer(context: Context, model: str, folder: Path) -> None:
    """Raises InvalidInput, Conflict."""
    version = await store_version(context, model, folder)
    note = "It came with a newer release, as the champion did with an earlier one."
    await models.promote(context, version.id, force=True, note=note)
    logger.info("a model of a newer release serves from now on", model=model, version=version.version)


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
