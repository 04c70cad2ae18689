"""Long windows come from roll-ups, and say exactly what the samples say: before, between and after maintenance."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.tables.core import Link
from resolvers.store.telemetry import rollups
from resolvers.store.telemetry.rollups import QUANTILES, SHARES
from tests.helpers.support import NOW, Api, Factory, ago, iso, ms, record, sql

LINK = TargetKind.LINK
HOUR = timedelta(hours=1)
BEGIN = ago(days=30).replace(minute=0, second=0)
OUTPUT = """query ($number: Int!, $window: TimeWindow!, $maxPoints: Int!) { link(number: $number) {
  series(direction: OB, metrics: [ESNO_DB, JITTER_MS], window: $window, maxPoints: $maxPoints) {
    bucketSeconds times columns { mean min max } }
  statistics(direction: OB, metrics: [ESNO_DB, JITTER_MS], window: $window) { count min max mean p95 last } } }"""


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@dataclass
class History:
    """What was recorded of a link: epoch ms, Es/N0, and jitter, which is measured now and then (else NaN)."""

    link: Link
    times: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), dtype=np.float32))

    async def add(self, api: Api, times: NDArray[np.int64], rng: np.random.Generator) -> None:
        esno = rng.normal(12, 1, len(times)).astype(np.float32)
        jitter = np.where(rng.random(len(times)) < 0.3, rng.uniform(1, 50, len(times)), np.nan).astype(np.float32)
        answer = await record(
            api,
            LINK,
            link=[self.link.number] * len(times),
            direction=["OB"] * len(times),
            at=times.tolist(),
            esnoDb=esno.astype(float).tolist(),
            jitterMs=[None if np.isnan(value) else float(value) for value in jitter],
        )
        assert answer["accepted"] == len(times)
        self.times = np.concatenate([self.times, times])
        self.values = np.concatenate([self.values, np.column_stack([esno, jitter])])
        order = np.argsort(self.times)
        self.times, self.values = self.times[order], self.values[order]

    def within(self, start: datetime, end: datetime) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        chosen = (self.times >= ms(start)) & (self.times < ms(end))
        return self.times[chosen], self.values[chosen].astype(np.float64)


def moments(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Different milliseconds of the last thirty days, the current hour included."""
    return np.sort(rng.choice(ms(NOW) - ms(BEGIN), count, replace=False) + ms(BEGIN))


async def asked(api: Api, link: Link, start: datetime, end: datetime, max_points: int) -> dict[str, Any]:
    window = {"from": iso(start), "to": iso(end)}
    answer: dict[str, Any] = (await api.run(OUTPUT, number=link.number, window=window, maxPoints=max_points))["link"]
    return answer


def check(history: History, answer: dict[str, Any], start: datetime, end: datetime, max_points: int) -> None:
    times, values = history.within(start, end)
    check_series(answer["series"], times, values, start, max_points)
    for place, found in enumerate(answer["statistics"]):
        measured = values[~np.isnan(values[:, place]), place]
        check_statistics(found, measured, exact=end - start <= timedelta(days=7))


def check_series(
    series: dict[str, Any], times: NDArray[np.int64], values: NDArray[np.float64], start: datetime, max_points: int
) -> None:
    seconds = series["bucketSeconds"]
    if seconds is None:
        assert series["times"] == times.tolist()
        return
    assert len(series["times"]) <= max_points < len(times)
    origin = ms(start) if max_points == 1 else 0
    buckets = (times - origin) // (1000 * seconds) * (1000 * seconds) + origin
    assert series["times"] == np.unique(buckets).tolist()
    for place, column in enumerate(series["columns"]):
        for name, reduce in (("mean", np.mean), ("min", np.min), ("max", np.max)):
            expected = []
            for bucket in np.unique(buckets):
                measured = values[(buckets == bucket) & ~np.isnan(values[:, place]), place]
                expected.append(float(reduce(measured)) if len(measured) else None)
            assert column[name] == [value if value is None else pytest.approx(value, rel=1e-6) for value in expected]


def check_statistics(found: dict[str, Any], measured: NDArray[np.float64], *, exact: bool) -> None:
    assert found["count"] == len(measured)
    if not len(measured):
        assert set(found.values()) == {0, None}
        return
    expected = {"min": measured.min(), "max": measured.max(), "mean": measured.mean(), "last": measured[-1]}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    if exact:
        assert found["p95"] == pytest.approx(np.percentile(measured, 95), rel=1e-6)
    elif len(measured) > 300:
        assert np.percentile(measured, 90) <= found["p95"] <= np.percentile(measured, 99)  # of few samples a day


# ---------------------------------------------------------------- whatever maintenance has done


async def late(operator: Api, _: Services, history: History, rng: np.random.Generator) -> None:
    """Samples older than the newest, in hours that are rolled up already."""
    await history.add(operator, np.setdiff1d(moments(rng, 150), history.times), rng)


async def rolled(_: Api, services: Services, __: History, ___: np.random.Generator) -> None:
    assert await maintain(services)


Step = Callable[[Api, Services, History, np.random.Generator], Awaitable[None]]


@pytest.mark.parametrize("steps", [(), (rolled,), (rolled, late), (rolled, late, rolled)])
async def test_answers_are_the_samples_own_whenever_these_were_rolled_up(
    operator: Api, make: Factory, services: Services, steps: tuple[Step, ...]
) -> None:
    rng, history = np.random.default_rng(1), History(await make.link())
    await history.add(operator, moments(rng, 3000), rng)
    for step in steps:
        await step(operator, services, history, rng)

    for _ in range(60):
        one, other = np.sort(rng.integers(0, 30 * 24 * 60 + 60, 2))
        start, end = (BEGIN + timedelta(minutes=int(minutes)) for minutes in (one, other + 1))
        max_points = int(rng.choice([1, 3, 30, 200, 700, 5000]))
        answer = await asked(operator, history.link, start, end, max_points)
        check(history, answer, start, end, max_points)


async def test_samples_recorded_while_maintenance_runs_are_all_in_the_answer(
    operator: Api, make: Factory, services: Services
) -> None:
    rng, history = np.random.default_rng(2), History(await make.link())
    parts = np.array_split(rng.permutation(moments(rng, 3000)), 30)
    recording = True

    async def maintaining() -> None:
        while recording:
            await maintain(services)

    async with asyncio.TaskGroup() as group:
        group.create_task(maintaining())
        for part in parts:
            await history.add(operator, np.sort(part), rng)
            answer = await asked(operator, history.link, BEGIN, NOW, 20)
            check(history, answer, BEGIN, NOW, 20)
        recording = False

    await maintain(services)
    check(history, await asked(operator, history.link, BEGIN, NOW, 20), BEGIN, NOW, 20)


# ---------------------------------------------------------------- that they are used, and what of


async def falsified(services: Services) -> None:
    """Roll-ups that anybody can tell from the samples."""
    await sql(services, "UPDATE link_rollups SET esno_db_max = 39")


async def hours(services: Services, seconds: int = 3600) -> list[datetime]:
    async with services.database.read() as session:
        query = text("SELECT at FROM link_rollups WHERE seconds = :seconds ORDER BY at")
        return list(await session.scalars(query, {"seconds": seconds}))


async def days_of(operator: Api, make: Factory, count: int, **given: Any) -> History:
    """A sample each quarter of an hour up to now."""
    history, rng = History(await make.link(**given)), np.random.default_rng(3)
    quarters = np.arange(count * 96)[::-1]
    await history.add(operator, ms(NOW) - quarters * 900_000, rng)
    return history


async def test_long_buckets_come_from_roll_ups_and_short_ones_from_the_samples(
    operator: Api, make: Factory, services: Services
) -> None:
    history = await days_of(operator, make, 3)
    await maintain(services)
    await falsified(services)

    long = await asked(operator, history.link, NOW - timedelta(days=2), NOW, 24)
    short = await asked(operator, history.link, NOW - timedelta(days=2), NOW, 1000)

    assert long["series"]["columns"][0]["max"][2:-2] == [39.0] * (len(long["series"]["times"]) - 4)
    assert max(short["series"]["columns"][0]["max"]) < 20
    assert long["statistics"][0]["max"] < 20  # within a week everything is exact


async def test_statistics_of_more_than_a_week_come_from_days(operator: Api, make: Factory, services: Services) -> None:
    history = await days_of(operator, make, 10)
    await maintain(services)
    await falsified(services)

    answer = await asked(operator, history.link, NOW - timedelta(days=9), NOW, 24)

    assert answer["statistics"][0]["max"] == 39.0
    assert answer["statistics"][0]["count"] == 9 * 96


async def test_p95_of_weeks_is_right_to_a_percent_even_where_days_differ(
    operator: Api, make: Factory, services: Services
) -> None:
    link, rng = await make.link(), np.random.default_rng(5)
    times = [ms(at) for at in (ago(minutes=5 * index) for index in range(10 * 288, 0, -1))]
    values = rng.normal(20, 2, len(times)) + np.where(np.arange(len(times)) // 288 == 4, 30, 0)  # one day is bad
    keys = {"link": [link.number] * len(times), "direction": ["OB"] * len(times), "at": times}
    await record(operator, LINK, **keys, jitterMs=values.tolist())

    await maintain(services)

    answer = await asked(operator, link, NOW - timedelta(days=10), NOW, 24)
    assert np.percentile(values, 94) <= answer["statistics"][1]["p95"] <= np.percentile(values, 96)


async def test_a_late_sample_makes_its_hours_doubtful_and_no_other(
    operator: Api, make: Factory, services: Services
) -> None:
    history = await days_of(operator, make, 3)
    await maintain(services)
    await falsified(services)
    noon = ago(days=1).replace(hour=12, minute=7, second=0)

    await history.add(operator, np.array([ms(noon)]), np.random.default_rng(4))

    answer = await asked(operator, history.link, noon - timedelta(days=1), noon + timedelta(hours=5), 40)
    greatest = dict(zip(answer["series"]["times"], answer["series"]["columns"][0]["max"], strict=True))
    seconds = answer["series"]["bucketSeconds"]
    true = [at for at, value in greatest.items() if value < 20]
    assert seconds == 3600
    assert set(true) <= {*list(greatest)[:1], ms(noon.replace(minute=0)), *list(greatest)[-1:]}
    assert ms(noon.replace(minute=0)) in true


async def test_the_current_hour_waits_until_it_is_over(operator: Api, make: Factory, services: Services) -> None:
    history = await days_of(operator, make, 1)
    soon = datetime.now(UTC) + timedelta(minutes=2)  # whatever hour begins meanwhile, this one is not over
    await history.add(operator, np.array([ms(soon)]), np.random.default_rng(6))

    await maintain(services)

    assert (await hours(services))[-1] < soon.replace(minute=0, second=0, microsecond=0)
    async with services.database.read() as session:
        assert await session.scalar(text("SELECT unrolled IS NOT NULL FROM streams")) is True


async def test_more_than_one_turn_takes_is_rolled_up_in_turns(
    operator: Api, make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "STREAMS_AT_ONCE", 2)
    network = await make.network()
    for _ in range(5):
        await days_of(operator, make, 10, network=network)

    await maintain(services)

    assert len(await hours(services, 86_400)) >= 5 * 10
    async with services.database.read() as session:
        left = await session.scalar(text("SELECT max(upper(unrolled) - lower(unrolled)) FROM streams"))
    assert left is None or left <= HOUR  # None where an hour has just begun


@pytest.mark.parametrize("kind", [TargetKind.NETWORK, TargetKind.SITE])
async def test_networks_and_sites_are_rolled_up_too(
    operator: Api, make: Factory, services: Services, kind: TargetKind
) -> None:
    target = await (make.network() if kind is TargetKind.NETWORK else make.site())
    times = [ms(ago(hours=hours, minutes=5)) for hours in range(1, 200)]
    await record(
        operator, kind, **{kind.lower(): [target.number] * len(times)}, at=times, errorRate=[0.25] * len(times)
    )

    await maintain(services)

    document = f"""query ($n: Int!) {{ {kind.lower()}(number: $n) {{
      statistics(metrics: [ERROR_RATE], window: {{ hours: 400 }}) {{ count mean p95 last }}
      series(metrics: [ERROR_RATE], window: {{ hours: 400 }}, maxPoints: 20) {{ columns {{ metric max }} }} }} }}"""
    data = (await operator.run(document, n=target.number))[kind.lower()]
    assert data["statistics"] == [{"count": 199, "mean": 0.25, "p95": 0.25, "last": 0.25}]
    assert set(data["series"]["columns"][0]["max"]) == {0.25}
    async with services.database.read() as session:
        query = text(f"SELECT DISTINCT seconds FROM {kind.lower()}_rollups ORDER BY 1")
        assert list(await session.scalars(query)) == [300, 3600, 86_400]


def test_the_values_that_stand_for_a_day_cover_it() -> None:
    assert SHARES.sum() == pytest.approx(1.0)
    assert np.all(np.diff(QUANTILES) > 0)
    assert 0 < QUANTILES[0] < QUANTILES[-1] < 1
