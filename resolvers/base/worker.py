"""The loop of all background work: it waits, works, and tries again after a failure, until it is stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from prometheus_client import Counter

from resolvers.base.errors import ClientError, Unavailable

WORKER_FAILURES = Counter(
    "bcom_worker_failures_total", "Rounds of background work that failed, each followed by another try.", ["worker"]
)

logger = structlog.get_logger(__name__)


class Worker:
    """Calls `work` again and again.

    A failure is counted, logged and followed by a pause, which doubles with each further failure. Work that lasts, such
    as listening, says with `recovered` when it is under way; other work has recovered when it returns.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        every_seconds: float,
        begins_at_once: bool = False,
        settle_seconds: float = 0.0,
        deadline_seconds: float | None = None,
        first_pause_seconds: float = 1.0,
        longest_pause_seconds: float | None = None,
        outages: tuple[type[Exception], ...] = (ClientError,),
    ) -> None:
        """every_seconds: from the end of one round to the next, unless it is woken.

        settle_seconds: from being woken to the round, for what happens together.
        deadline_seconds: a round that takes longer is cancelled, and has failed.
        first_pause_seconds: after a failure; each further one doubles it.
        longest_pause_seconds: after many failures; else `every_seconds`.
        outages: failures that are foreseen, and logged once until it has recovered.
        """
        self.name = name
        self._work = work
        self._every, self._settle, self._deadline = every_seconds, settle_seconds, deadline_seconds
        self._begins_at_once = begins_at_once
        self._first_pause = first_pause_seconds
        self._longest_pause = every_seconds if longest_pause_seconds is None else longest_pause_seconds
        self._outages = outages
        self._woken = asyncio.Event()
        self._failures = 0  # since it has last recovered
        self._task: asyncio.Task[None] | None = None
        self._is_told_to_end = False

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Begins the next round now, or when the present one is done."""
        self._woken.set()

    def start(self) -> None:
        self._is_told_to_end = False
        self._task = asyncio.create_task(self.run(), name=self.name)

    async def stop(self) -> None:
        """Returns when it has ended. It is cancelled until it does: an outage while it cleans up can swallow that."""
        self._is_told_to_end = True
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def run(self) -> None:
        if not self._begins_at_once:
            await self._wait()
        while not self._is_told_to_end:
            self._woken.clear()
            has_succeeded = await self._succeeds()
            if not self._is_told_to_end:
                await (self._wait() if has_succeeded else asyncio.sleep(self._pause()))

    def recovered(self) -> None:
        """Says that the work is well under way."""
        if self._failures:
            logger.info("background work goes on", worker=self.name)
        self._failures = 0

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every):
                await self._woken.wait()
        await asyncio.sleep(self._settle)

    async def _succeeds(self) -> bool:
        deadline = asyncio.timeout(self._deadline)
        try:
            async with deadline:
                await self._work()
        except self._outages as error:
            if not self._failures:
                logger.warning("background work is interrupted, trying again", worker=self.name, reason=_reason(error))
        except Exception:  # the outermost loop of all workers: log and try again
            if deadline.expired():
                logger.error("background work took too long, trying again", worker=self.name, seconds=self._deadline)  # noqa: TRY400
            else:
                logger.exception("background work failed, trying again", worker=self.name)
        else:
            self.recovered()
            return True
        self._failures += 1
        WORKER_FAILURES.labels(self.name).inc()
        return False

    def _pause(self) -> float:
        doublings = min(self._failures - 1, 30)
        return float(min(self._first_pause * 2**doublings, self._longest_pause))


def _reason(error: Exception) -> str:
    """For whoever runs the server; clients may be told less."""
    return (error.reason if isinstance(error, Unavailable) else "") or str(error) or repr(error)
