"""Performs a training run: from the queue to a stored version, or to a failure with its reason."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import select

from ml.artefacts import Fitted, load
from ml.catalogue.models import DETECTORS, PRIORITY, RANKING, ROOT_CAUSE, History, Progress, TooLittleHistory, Trained
from ml.detection import training
from ml.recommendation.feedback import Feedback
from ml.recommendation.playbook.catalogue import Playbook
from resolvers.base.access import SYSTEM
from resolvers.base.errors import ClientError, Conflict, Unavailable
from resolvers.context import Context, Services
from resolvers.models import models
from resolvers.models.latency import measure_latency
from resolvers.models.training_data import gather_history
from resolvers.store.models import training_runs
from resolvers.store.models.registry import Loaded
from resolvers.store.postgres.database import Database
from resolvers.store.queries.outcomes import load_feedback
from resolvers.store.tables.models import ModelVersion, TrainingRun

TrainingInput = History | Sequence[Feedback] | None  # what a training learns from, besides the simulator
Train = Callable[[str, int, Progress, TrainingInput, Fitted | None], Trained]
Result = TypeVar("Result")

PATIENCE: Final = 60.0  # seconds that an outage of the database may last
PAUSE: Final = 0.25  # seconds between two reports of progress
READING: Final = 0.2  # the progress when the history is read
TRAINING: Final = 0.98  # the progress when the version is to be stored
INTERRUPTED: Final = "It was interrupted, as the server or the command that ran it had to stop. Start it again."
UNEXPECTED: Final = "It failed unexpectedly; see the server's log."
OVERTAKEN: Final = "This run was marked as finished in the meantime."
SIMULATOR: Final = "Ask for a longer window, or for none to learn from the simulator."

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A stored version, what was trained, and whether it serves, as the first version of its model."""

    version: ModelVersion
    trained: Trained
    serves: bool


class TrainingFailed(ClientError):
    """A training failed; the message is stored with the run, too."""


def ignore_progress(_done: float, _what: str) -> None:
    """Ignores the progress."""


def train_model(
    name: str, seed: int, progress: Progress, learned: Any, champion: Any, playbook: Playbook | None = None
) -> Trained:
    """A new version of any model; `champion` is one of its own, `learned` what `_learned` finds for it."""
    from ml.recommendation import training as recommendation_training  # noqa: PLC0415  with scikit-learn: serving has
    from ml.root_cause import training as rootcause_training  # noqa: PLC0415  no use for it

    if name == ROOT_CAUSE:
        return rootcause_training.train(seed, progress, champion)
    if name == RANKING:
        return recommendation_training.train_ranking(seed, progress, learned or (), champion, playbook)
    if name == PRIORITY:
        return recommendation_training.train_priority(seed, progress, learned or (), champion, playbook)
    return training.train(name, seed, progress, learned, champion)


async def perform(
    services: Services, run_id: UUID, train: Train | None = None, watch: Progress = ignore_progress
) -> Outcome:
    """Performs a waiting run. `watch` is called with the progress, in any thread.

    Raises TrainingFailed, Conflict if the run does not wait.
    """
    database, train = services.database, train or partial(train_model, playbook=services.playbook)
    async with training_runs.hold_run_lock(database, run_id):
        run = await _retry_while_away(partial(training_runs.claim, database, run_id))
        if run is None:
            raise Conflict("This training run is not in the queue. Start a new one.")
        try:
            return await _train(services, run, train, watch)
        except asyncio.CancelledError:
            await _mark_failed(database, run, INTERRUPTED, 3.0)
            raise
        except (ClientError, TooLittleHistory) as error:
            reason = f"{error} {SIMULATOR}" if isinstance(error, TooLittleHistory) else str(error)
        except Exception:  # the outermost of this process: whoever waits for the run must hear of it
            logger.exception("a training broke", run=str(run_id), model=run.model)
            reason = UNEXPECTED
        await _mark_failed(database, run, reason)
        raise TrainingFailed(reason)


async def _train(services: Services, run: TrainingRun, train: Train, watch: Progress) -> Outcome:
    async with Reporter(services.database, run.id, watch) as reporter:
        champion = await _find_champion(services, run.model)
        learned = await _read_history(services.database, run, reporter.part(0.0, READING))
        known = champion.fitted if champion else None
        report = reporter.part(READING if learned else 0.0, TRAINING)
        trained = await run_in_thread(partial(train, run.model, run.seed, report, learned, known))
        quick = await run_in_thread(lambda: measure_latency(load(run.model, trained.artefact, "")))
        trained = replace(trained, measures=(*trained.measures, *quick))
    if not await _retry_while_away(
        partial(training_runs.advance, services.database, run.id, TRAINING, "storing the version")
    ):
        raise Conflict(OVERTAKEN)
    version = await _retry_while_away(partial(_store_version, services, run, trained, champion))
    first = await _retry_while_away(partial(_promote_first, services, version))
    what = "It serves, as the first of its model." if first else "Promote it to let it serve."
    message = f"{run.model} {version.version} is trained. {what}"
    if not await _retry_while_away(partial(training_runs.succeed, services.database, run.id, version.id, message)):
        raise Conflict(OVERTAKEN)
    logger.info("a training succeeded", run=str(run.id), model=run.model, version=version.version)
    return Outcome(version, trained, serves=first)


async def _find_champion(services: Services, model: str) -> Loaded | None:
    """Returns the champion, which the new version is compared with; None if there is none that can be loaded."""
    if model in await _retry_while_away(services.registry.list_missing):
        return None
    try:
        return await services.registry.champion(model)
    except Unavailable as error:
        logger.warning("a training goes without a champion to compare with", model=model, reason=error.message)
        return None


async def _read_history(database: Database, run: TrainingRun, progress: Progress) -> TrainingInput:
    """Returns the fleet's history in the run's window, or the outcomes of recommendations in it."""
    if run.model in (RANKING, PRIORITY):
        async with database.read() as session:
            return await load_feedback(session, run.window_start, run.window_end)
    if run.model in DETECTORS and run.window_start and run.window_end:
        return await gather_history(database, run.model, run.window_start, run.window_end, progress)
    return None


async def _store_version(
    services: Services, run: TrainingRun, trained: Trained, champion: Loaded | None
) -> ModelVersion:
    """Stores the version. After an outage it may be stored already: then it is returned."""
    parent = champion.id if champion else None
    try:
        return await services.registry.add(run.model, trained, run.version_name, run.started_by_id, parent)
    except Conflict:
        same = {"model": run.model, "version": run.version_name, "sha256": sha256(trained.artefact).digest()}
        async with services.database.read() as session:
            if known := await session.scalar(select(ModelVersion).filter_by(**same)):
                return known
        raise


async def _promote_first(services: Services, version: ModelVersion) -> bool:
    """Promotes the version if its model has no champion. Returns whether it did."""
    if version.model not in await services.registry.list_missing():
        return False
    await models.promote(Context(services, SYSTEM), version.id, force=True)
    return True


async def _mark_failed(database: Database, run: TrainingRun, message: str, patience: float = PATIENCE) -> None:
    logger.warning("a training failed", run=str(run.id), model=run.model, reason=message)
    with suppress(ClientError):  # else it will be found without its process
        await _retry_while_away(partial(training_runs.fail, database, run.id, message), patience)


async def _retry_while_away(work: Callable[[], Awaitable[Result]], seconds: float = PATIENCE) -> Result:
    """Retries while the database is away, or does not answer, for so many seconds. Raises Unavailable."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while True:
        try:
            async with asyncio.timeout_at(until):
                return await work()
        except Unavailable:
            if clock() + 1.0 > until:
                raise
            await asyncio.sleep(1.0)
        except TimeoutError:
            raise Unavailable from None


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Runs work in a thread that, unlike an executor's, does not keep the process from ending."""
    promised: Future[Result] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits for it any more
            try:
                promised.set_result(work())
            except Exception as error:  # noqa: BLE001  whoever waits gets it
                promised.set_exception(error)

    threading.Thread(target=run, name="training", daemon=True).start()
    return await asyncio.wrap_future(promised)


class Reporter:
    """Writes a run's progress, the newest a few times a second, while it is entered; called in any thread."""

    def __init__(self, database: Database, run_id: UUID, watch: Progress) -> None:
        self._database, self._run_id, self._watch = database, run_id, watch
        self._loop = asyncio.get_running_loop()
        self._newest = (0.0, "")
        self._fresh, self._at_it = asyncio.Event(), asyncio.Lock()
        self._over = False

    def __call__(self, done: float, what: str) -> None:
        """Reports the progress. Raises Conflict when the run is over, so that the thread ends."""
        if self._over:
            raise Conflict(OVERTAKEN)
        self._newest = (max(done, self._newest[0]), what)
        self._watch(*self._newest)
        with suppress(RuntimeError):  # the loop was closed just now
            self._loop.call_soon_threadsafe(self._fresh.set)

    def part(self, begin: float, end: float) -> Progress:
        """Returns the progress of work that is this part of the whole."""
        return lambda done, what: self(begin + (end - begin) * done, what)

    async def __aenter__(self) -> "Reporter":
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0), self._at_it:  # do not interrupt it in the middle of a statement
                pass
        while not self._writing.done():  # an outage while cleaning up can swallow a cancellation
            self._writing.cancel()
            await asyncio.wait([self._writing], timeout=1.0)

    async def _write(self) -> None:
        while not self._over:
            await self._fresh.wait()
            self._fresh.clear()
            try:
                async with self._at_it:
                    if not await training_runs.advance(self._database, self._run_id, *self._newest):
                        self._over = True
            except ClientError:
                pass  # it is only for show, and the next one may come through
            except Exception:  # the outermost loop of a task: log and go on
                logger.exception("a training's progress could not be written", run=str(self._run_id))
            await asyncio.sleep(PAUSE)
