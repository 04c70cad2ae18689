"""The states of training runs. The process that works on a run holds an advisory lock of the run's own.

The lock ends with its connection, so an unfinished run whose lock is free has lost its process: it is an orphan.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from resolvers.base.errors import ClientError, Conflict
from resolvers.store.events.log import Event, publish
from resolvers.store.postgres.database import Database
from resolvers.store.tables.models import TrainingRun, TrainingStatus

TOPIC: Final = "training"
UNFINISHED: Final = (TrainingStatus.QUEUED, TrainingStatus.RUNNING)
WAITING: Final = "waiting for its process to start"
NEVER_BEGAN: Final = "Its process did not start; the server's log says why. Start it again."
KILLED: Final = "Its process was killed before it was done, or its machine was; start it again."
STARTING: Final = timedelta(minutes=2)  # from the queue to the lock of its process
LOCKED_WITHIN: Final = 5.0  # seconds; `reap` holds the lock for a moment
WATCH_SECONDS: Final = 5.0

logger = structlog.get_logger(__name__)


def run_lock_key(run_id: UUID) -> int:
    """Returns the key of the run's advisory lock: the random half of its id."""
    return int.from_bytes(run_id.bytes[8:], signed=True)


# ---------------------------------------------------------------- states


async def claim(database: Database, run_id: UUID) -> TrainingRun | None:
    """Marks a waiting run as running, and returns it; None if it does not wait."""
    async with database.write() as session:
        changes = {"status": TrainingStatus.RUNNING, "started_at": func.now(), "message": "starting"}
        return await _change_status(session, run_id, (TrainingStatus.QUEUED,), changes)


async def advance(database: Database, run_id: UUID, progress: float, message: str) -> bool:
    """Stores the progress. Returns False if the run is not running any more: it was reaped."""
    async with database.write() as session:
        changes = {"progress": progress, "message": message}
        return await _change_status(session, run_id, (TrainingStatus.RUNNING,), changes) is not None


async def succeed(database: Database, run_id: UUID, version_id: int, message: str) -> bool:
    """Marks the run as succeeded. Returns False if it is not running any more."""
    async with database.write() as session:
        changes = {"status": TrainingStatus.SUCCEEDED, "progress": 1.0, "message": message, "version_id": version_id}
        finished = changes | {"finished_at": func.now()}
        return await _change_status(session, run_id, (TrainingStatus.RUNNING,), finished) is not None


async def fail(database: Database, run_id: UUID, message: str) -> None:
    """Marks an unfinished run as failed; the message says what to do."""
    async with database.write() as session:
        changes = {"status": TrainingStatus.FAILED, "message": message, "finished_at": func.now()}
        await _change_status(session, run_id, UNFINISHED, changes)


async def _change_status(
    session: AsyncSession, run_id: UUID, of: tuple[TrainingStatus, ...], changes: dict[str, Any]
) -> TrainingRun | None:
    """Changes a run in one of these states and publishes that; returns None for one in another state."""
    query = update(TrainingRun).where(TrainingRun.id == run_id, TrainingRun.status.in_(of)).values(changes)
    run = await session.scalar(query.returning(TrainingRun))
    if run is not None:
        publish(session, Event(TOPIC, run.status, str(run.id), {"model": run.model}))
    return run


# ---------------------------------------------------------------- locks and orphans


@asynccontextmanager
async def hold_run_lock(database: Database, run_id: UUID) -> AsyncIterator[None]:
    """Holds the run's lock, so that no other process works on it or reaps it. Raises Conflict if one works on it."""
    locked = asyncio.Event()
    keeper = asyncio.create_task(_keep_lock(database, run_id, locked), name=f"lock of training run {run_id}")
    try:
        try:
            async with asyncio.timeout(LOCKED_WITHIN):
                await locked.wait()
        except TimeoutError:
            raise Conflict(
                "Another process is working on this training run, or the database is unreachable. Try again later."
            ) from None
        yield
    finally:
        while not keeper.done():  # an outage while cleaning up can swallow a cancellation
            keeper.cancel()
            await asyncio.wait([keeper], timeout=1.0)


async def _keep_lock(database: Database, run_id: UUID, locked: asyncio.Event) -> None:
    """Keeps the lock until it is cancelled; takes it again after an outage."""
    while True:
        try:
            async with database.connection() as connection:
                if await connection.scalar(select(func.pg_try_advisory_lock(run_lock_key(run_id)))):
                    locked.set()
                    try:
                        await _watch(connection)
                    finally:
                        await connection.invalidate()  # and with it the lock
        except ClientError as error:
            logger.warning("a training run's lock is lost, trying again", run=str(run_id), reason=error.message)
        except Exception:  # the outermost loop of a task: log and try again
            logger.exception("keeping a training run's lock failed, trying again", run=str(run_id))
        await asyncio.sleep(0.5)


async def _watch(connection: AsyncConnection) -> NoReturn:
    """Returns never; raises when the connection is lost."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        await connection.execute(select(1))


async def fail_orphans(database: Database) -> None:
    """Marks the runs whose process is gone as failed."""
    queued_long = TrainingRun.created_at < func.now() - STARTING
    suspects = select(TrainingRun.id).where(
        TrainingRun.status.in_(UNFINISHED), or_(TrainingRun.status == TrainingStatus.RUNNING, queued_long)
    )
    async with database.read() as session:
        found = list(await session.scalars(suspects))
    for run_id in found:
        await reap(database, run_id)


async def reap(database: Database, run_id: UUID) -> bool:
    """Marks an unfinished run as failed if no process works on it. Returns whether none does."""
    async with database.write() as session:
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(run_lock_key(run_id)))):
            return False
        for status, message in ((TrainingStatus.QUEUED, NEVER_BEGAN), (TrainingStatus.RUNNING, KILLED)):
            changes = {"status": TrainingStatus.FAILED, "message": message, "finished_at": func.now()}
            if await _change_status(session, run_id, (status,), changes):
                logger.warning("a training run has lost its process", run=str(run_id), status=status)
        return True
