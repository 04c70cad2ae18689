"""Training runs in the background: starting, listing and following them."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from ml.catalogue.models import MODELS, ROOT_CAUSE
from resolvers.base.errors import Conflict, InvalidInput, Lagged, NotFound, Unavailable
from resolvers.base.roles import Role
from resolvers.base.times import MAX_CLOCK_AHEAD
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.models import training_runs
from resolvers.store.models.registry import VERSION
from resolvers.store.tables.models import ModelVersion, TrainingRun

SEED: Final = 1
NUMBERED: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\b.*")
WINDOW: Final = ["input", "window"]

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Period:
    """The history to learn from: from `start`, else for `hours`, up to `end`, else now."""

    start: datetime | None = None
    end: datetime | None = None
    hours: float = 24.0


# ---------------------------------------------------------------- asking


async def start(context: Context, model: str, period: Period | None = None, version: str | None = None) -> TrainingRun:
    """Starts to train a new version of a model, on the fleet's history or by the simulator.

    Raises InvalidInput; Conflict while another run of the model is unfinished, or if the version exists.
    """
    run = await queue(context, model, period, version)
    try:
        await context.services.trainers.launch(run.id)
    except OSError as error:
        logger.exception("a training's process could not be started", run=str(run.id))
        await training_runs.fail(context.database, run.id, training_runs.NEVER_BEGAN)
        raise Unavailable("The server could not start a process for the training. Try again later.") from error
    return run


async def queue(
    context: Context, model: str, period: Period | None = None, version: str | None = None, seed: int = SEED
) -> TrainingRun:
    """As `start`, but `trainer.perform` has to do the work. `version`: else the next minor one."""
    caller = context.require(Role.ADMIN, "train models")
    if model not in MODELS:
        raise InvalidInput(f"There is no model {model!r} to train; there are {', '.join(MODELS)}.", ["input", "model"])
    if model == ROOT_CAUSE and period is not None:
        raise InvalidInput(
            f"{model} is trained on simulated data only, because no fleet's history says what its root causes were."
            " Train it without a window.",
            WINDOW,
        )
    first, last = (None, None) if period is None else _check_window(context, period)
    name = await _choose_version(context, model, version)
    await training_runs.fail_orphans(context.database)  # an orphan must not block a new run
    run = TrainingRun(
        model=model,
        version_name=name,
        seed=seed,
        window_start=first,
        window_end=last,
        message=training_runs.WAITING,
        started_by_id=caller.author_id,
    )
    try:
        async with context.database.write() as session:
            session.add(run)
            await session.flush()
            await session.refresh(run)
    except IntegrityError:
        raise Conflict(f"A training of {model} is not finished yet; wait for it to end.") from None
    return run


def _check_window(context: Context, period: Period) -> tuple[datetime, datetime]:
    """Returns the window. Raises InvalidInput if it is empty, in the future, or longer than samples are kept."""
    kept = timedelta(days=context.services.retention_days)
    end = period.end or context.now
    if end > context.now + MAX_CLOCK_AHEAD:
        raise InvalidInput("The window must not end in the future.", [*WINDOW, "to"])
    if end <= context.now - kept:
        raise InvalidInput(
            f"There are no samples this old: they are kept for {kept.days} days. Choose a later window.",
            [*WINDOW, "to"],
        )
    if period.start is None and not 0 < period.hours * 3600 <= kept.total_seconds():
        raise InvalidInput(
            f"The window must be longer than 0 and at most {kept.days} days, as long as samples are kept.",
            [*WINDOW, "hours"],
        )
    start = period.start or end - timedelta(hours=period.hours)
    if not timedelta(0) < end - start <= kept:
        raise InvalidInput(
            f"`from` must be before `to`, by at most {kept.days} days, as long as samples are kept.", [*WINDOW, "from"]
        )
    return start, end


async def _choose_version(context: Context, model: str, wanted: str | None) -> str:
    """Returns the version's name. Raises InvalidInput for an impossible one, Conflict for one that exists."""
    async with context.database.read() as session:
        known = set(await session.scalars(select(ModelVersion.version).filter_by(model=model)))
    if wanted is None:
        return _next_version(known)
    if not VERSION.fullmatch(wanted):
        raise InvalidInput(
            "A version is named like 2.0.0: up to 40 letters, digits, dots and dashes, beginning with a letter or"
            " digit.",
            ["input", "version"],
        )
    if wanted in known:
        raise Conflict(f"{model} {wanted} exists already; choose another version.")
    return wanted


def _next_version(known: set[str]) -> str:
    """Returns 2.1.0 after 2.0.0, and 1.0.0 after nothing."""
    numbered = [match for name in known if (match := NUMBERED.fullmatch(name))]
    newest = max(((int(match[1]), int(match[2])) for match in numbered), default=None)
    return "1.0.0" if newest is None else f"{newest[0]}.{newest[1] + 1}.0"


# ---------------------------------------------------------------- seeing


@cached_listing
def run_listing() -> Listing[TrainingRun]:
    return Listing(TrainingRun, (TrainingRun.id,), descending=True)


async def list_runs(context: Context, window: Window) -> Page[TrainingRun]:
    """Returns a page of training runs, newest first."""
    context.require(Role.VIEWER, "see trainings")
    return await fetch_page(context.database, run_listing(), window, context.columns_of(TrainingRun))


async def follow(context: Context, run_id: UUID) -> AsyncIterator[TrainingRun]:
    """Yields the run now, and at each change until it is finished. Raises NotFound."""
    context.require(Role.VIEWER, "follow trainings")
    if await context.loaders.rows(TrainingRun).load(run_id) is None:
        raise NotFound("training run")
    return _follow(context, run_id)


async def _follow(context: Context, run_id: UUID) -> AsyncIterator[TrainingRun]:
    shown: tuple[object, ...] = ()
    async with aclosing(_wait_for_changes(context, run_id)) as told:
        async for _ in told:
            context.forget()
            run = await context.loaders.whole_rows(TrainingRun).load(run_id)
            if run is None:
                return
            state = (run.status, run.progress, run.message)
            if state != shown:
                yield run
            shown = state
            if run.status not in training_runs.UNFINISHED:
                return


async def _wait_for_changes(context: Context, run_id: UUID) -> AsyncGenerator[None, None]:
    """Yields at once and at each change of the run; a slow reader misses some."""
    feed = context.services.feed
    while True:
        after = feed.cursor  # before the run is read, so that no change is missed
        yield
        try:
            async for event in feed.follow(training_runs.TOPIC, after):
                if event.subject == str(run_id):
                    yield
        except Lagged:
            continue
