"""Background work: again and again, after failures too, until it is told to end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bcom_graphql.observability.logging import configure_logging
from resolvers.base.errors import Unavailable
from resolvers.base.worker import Worker

NEVER = 3600.0
Logs = list[MutableMapping[str, Any]]
FAILURES = "bcom_worker_failures_total"


class Work:
    """Notes its rounds; fails as often as there are errors, and is stuck if it is told so."""

    def __init__(self, *errors: Exception, is_stuck: bool = False) -> None:
        self.rounds = 0
        self._errors, self._is_stuck = iter(errors), is_stuck

    async def __call__(self) -> None:
        self.rounds += 1
        if self._is_stuck:
            await asyncio.sleep(NEVER)
        for error in self._errors:
            raise error


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    worker.start()
    yield worker
    await worker.stop()


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What is logged, less than errors too."""
    configure_logging("json", "info")
    with capture_logs() as captured:
        yield captured
    configure_logging("json", "error")


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_it_waits_before_each_round() -> None:
    work = Work()

    async with running(Worker("test", work, every_seconds=0.05)):
        await asyncio.sleep(0)
        at_first = work.rounds
        await until(lambda: work.rounds == 3)

    assert at_first == 0


async def test_it_may_begin_at_once() -> None:
    work = Work()

    async with running(Worker("test", work, every_seconds=NEVER, begins_at_once=True)):
        await until(lambda: work.rounds == 1)


async def test_it_can_be_woken_and_lets_what_happens_together_settle() -> None:
    work = Work()

    async with running(Worker("test", work, every_seconds=NEVER, settle_seconds=0.05)) as worker:
        for _ in range(5):
            worker.wake()
            await asyncio.sleep(0.005)
        await until(lambda: work.rounds == 1)
        await asyncio.sleep(0.1)

    assert work.rounds == 1


async def test_an_outage_is_logged_once_and_so_is_its_end(logs: Logs) -> None:
    outages = [Unavailable(reason="nobody listens there")] * 3
    work = Work(*outages)

    async with running(Worker("reading", work, every_seconds=0.01, begins_at_once=True)):
        await until(lambda: work.rounds == 5)

    assert [(log["log_level"], log["worker"], log["event"]) for log in logs] == [
        ("warning", "reading", "background work is interrupted, trying again"),
        ("info", "reading", "background work goes on"),
    ]
    assert logs[0]["reason"] == "nobody listens there"


async def test_what_nobody_foresaw_is_logged_each_time_and_counted(logs: Logs) -> None:
    before = REGISTRY.get_sample_value(FAILURES, {"worker": "breaking"}) or 0
    work = Work(RuntimeError("one"), RuntimeError("two"))

    async with running(Worker("breaking", work, every_seconds=0.01, begins_at_once=True)):
        await until(lambda: work.rounds == 4)

    assert [log["log_level"] for log in logs] == ["error", "error", "info"]
    assert REGISTRY.get_sample_value(FAILURES, {"worker": "breaking"}) == before + 2


async def test_pauses_grow_up_to_the_longest() -> None:
    worker = Worker("test", Work(), every_seconds=60.0)

    pauses = []
    for failures in (1, 2, 3, 7, 100):
        worker._failures = failures
        pauses.append(worker._pause())

    assert pauses == [1.0, 2.0, 4.0, 60.0, 60.0]


async def test_a_round_that_takes_too_long_has_failed(logs: Logs) -> None:
    work = Work(is_stuck=True)
    worker = Worker("stuck", work, every_seconds=0.01, begins_at_once=True, deadline_seconds=0.02)

    async with running(worker):
        await until(lambda: work.rounds == 2)

    assert logs[0]["event"] == "background work took too long, trying again"


async def test_it_ends_when_it_is_told_even_if_a_cancellation_is_swallowed() -> None:
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            swallowed += 1

    async with asyncio.timeout(30.0):
        worker = Worker("test", work, every_seconds=0.01, begins_at_once=True)
        worker.start()
        await asyncio.sleep(0.01)
        await worker.stop()

    assert swallowed == 1


async def test_work_that_lasts_says_when_it_has_recovered(logs: Logs) -> None:
    begun = 0

    async def listen() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise Unavailable
        worker.recovered()
        await asyncio.sleep(NEVER)

    worker = Worker("listening", listen, every_seconds=0.01, begins_at_once=True)
    async with running(worker):
        await until(lambda: len(logs) == 2)

    assert logs[1]["event"] == "background work goes on"
