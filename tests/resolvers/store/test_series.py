"""Telemetry goes out: as recorded, or down-sampled without losing a spike, and in statistics."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from ml.catalogue.metrics import Metric, TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import Link, Stream
from tests.helpers.support import Api, Clock, Factory, GraphQLFailed, ago, clock_from_now, iso, ms, record

LINK = TargetKind.LINK
START = ago(days=2).replace(hour=12, minute=0, second=0)
SERIES = """query ($number: Int!, $direction: Direction!, $metrics: [Metric!], $window: TimeWindow, $maxPoints: Int) {
  link(number: $number) { series(direction: $direction, metrics: $metrics, window: $window, maxPoints: $maxPoints) {
    bucketSeconds times columns { metric unit mean min max } } } }"""
STATISTICS = """query ($number: Int!, $metrics: [Metric!], $window: TimeWindow) {
  link(number: $number) { statistics(direction: OB, metrics: $metrics, window: $window) {
    metric unit count min max mean p95 last } } }"""


@pytest.fixture
def clock() -> Clock:
    """Grades count from NOW, and must not be stale when a long run gets here."""
    return clock_from_now()


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def series(api: Api, link: Link, *metrics: Metric, direction: str = "OB", **given: Any) -> dict[str, Any]:
    data = await api.run(SERIES, number=link.number, direction=direction, metrics=metrics or None, **given)
    answer: dict[str, Any] = data["link"]["series"]
    return answer


async def statistics(api: Api, link: Link, *metrics: Metric, **given: Any) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = (await api.run(STATISTICS, number=link.number, metrics=metrics or None, **given))[
        "link"
    ]["statistics"]
    return answer


async def recorded(api: Api, link: Link, times: list[datetime], direction: str = "OB", **columns: Any) -> None:
    keys = {"link": [link.number] * len(times), "direction": [direction] * len(times), "at": [ms(at) for at in times]}
    answer = await record(api, LINK, **keys, **columns)
    assert answer["accepted"] == len(times)


def zulu(at: datetime) -> str:
    return iso(at).replace("+00:00", "Z")


def window(start: datetime, end: datetime) -> dict[str, str]:
    return {"from": iso(start), "to": iso(end)}


def every(seconds: float, count: int) -> list[datetime]:
    return [START + timedelta(seconds=seconds * index) for index in range(count)]


# ---------------------------------------------------------------- raw


async def test_a_raw_series_is_what_was_recorded(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60.001, 4)
    await recorded(operator, link, times, esnoDb=[12.3, None, 0.1, -3.14159], jitterMs=[None, 7, None, 8.5])

    answer = await series(operator, link, Metric.ESNO_DB, Metric.JITTER_MS, window=window(times[0], ago()))

    esno, jitter = [12.3, None, 0.1, -3.14159], [None, 7.0, None, 8.5]
    assert answer == {
        "bucketSeconds": None,
        "times": [ms(at) for at in times],
        "columns": [
            {"metric": "ESNO_DB", "unit": "dB", "mean": esno, "min": esno, "max": esno},
            {"metric": "JITTER_MS", "unit": "ms", "mean": jitter, "min": jitter, "max": jitter},
        ],
    }


async def test_directions_are_apart(operator: Api, make: Factory) -> None:
    link, other, times = await make.link(), await make.link(), every(60, 2)
    await recorded(operator, link, times, esnoDb=[1.0, 2.0])
    await recorded(operator, link, times, "IB", esnoDb=[3.0, 4.0])
    await recorded(operator, other, times, "IB", esnoDb=[5.0, 6.0])

    answer = await series(operator, link, Metric.ESNO_DB, direction="IB", window={"hours": 72})

    assert answer["columns"][0]["mean"] == [3.0, 4.0]


async def test_from_is_inclusive_and_to_is_exclusive(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60, 4)
    await recorded(operator, link, times, esnoDb=[1.0, 2.0, 3.0, 4.0])

    answer = await series(operator, link, Metric.ESNO_DB, window=window(times[1], times[3]))
    counted = await statistics(operator, link, Metric.ESNO_DB, window=window(times[1], times[3]))

    assert answer["columns"][0]["mean"] == [2.0, 3.0]
    assert counted[0]["count"] == 2


async def test_a_window_is_a_day_unless_told_otherwise(operator: Api, make: Factory) -> None:
    link = await make.link()
    await recorded(operator, link, [ago(hours=hours) for hours in (30, 23, 1)], esnoDb=[1.0, 2.0, 3.0])

    lengths = [
        (await series(operator, link, Metric.ESNO_DB, **given))["columns"][0]["mean"]
        for given in (
            {},
            {"window": None},
            {"window": {"hours": None}},
            {"window": {"hours": 2}},
            {"window": {"hours": 31.5}},
            {"window": {"to": iso(ago(hours=2)), "hours": 48}},
            {"window": {"from": iso(ago(hours=25)), "hours": -1}},
        )
    ]

    day = [2.0, 3.0]
    assert lengths == [day, day, day, [3.0], [1.0, 2.0, 3.0], [1.0, 2.0], day]


async def test_without_samples_a_series_is_empty(operator: Api, make: Factory) -> None:
    link = await make.link()

    answer = await series(operator, link)

    assert (answer["bucketSeconds"], answer["times"], len(answer["columns"])) == (None, [], 12)
    assert all(column["mean"] == column["min"] == column["max"] == [] for column in answer["columns"])


async def test_a_metric_asked_twice_comes_once(operator: Api, make: Factory) -> None:
    link = await make.link()

    answer = await series(operator, link, Metric.GRADE, Metric.ESNO_DB, Metric.GRADE)

    assert [column["metric"] for column in answer["columns"]] == ["GRADE", "ESNO_DB"]


async def test_networks_and_sites_have_series_and_statistics_too(operator: Api, make: Factory) -> None:
    network = await make.network()
    site = await make.site()
    at = [ms(ago(hours=1))]
    await record(operator, TargetKind.NETWORK, network=[network.number], at=at, latencyMs=[620.4])
    await record(operator, TargetKind.SITE, site=[site.number], at=at, cpuPct=[33.3])

    data = await operator.run(
        """query ($network: Int!, $site: Int!) {
          network(number: $network) { series(metrics: [LATENCY_MS]) { columns { mean } } statistics { metric last } }
          site(number: $site) { series(metrics: [CPU_PCT]) { columns { mean } } statistics { metric last } } }""",
        network=network.number,
        site=site.number,
    )

    assert data["network"]["series"]["columns"] == [{"mean": [620.4]}]
    assert data["site"]["series"]["columns"] == [{"mean": [33.3]}]
    assert {"metric": "LATENCY_MS", "last": 620.4} in data["network"]["statistics"]
    assert {"metric": "CPU_PCT", "last": 33.3} in data["site"]["statistics"]


# ---------------------------------------------------------------- down-sampled


@pytest.mark.parametrize("max_points", [1, 2, 7, 1000])
async def test_a_series_never_has_more_points_than_asked_and_keeps_every_spike(
    operator: Api, make: Factory, max_points: int
) -> None:
    link, times = await make.link(), every(7, 1500)
    values = np.random.default_rng(max_points).normal(12, 0.2, len(times)).round(2)
    values[[3, 700, 1499]] = [30.0, -15.0, 25.0]
    await recorded(operator, link, times, esnoDb=values.tolist())

    answer = await series(
        operator,
        link,
        Metric.ESNO_DB,
        window=window(START + timedelta(seconds=5), times[-1] + timedelta(seconds=1)),
        maxPoints=max_points,
    )

    [column] = answer["columns"]
    kept = values[1:]
    assert 1 <= len(answer["times"]) <= max_points
    assert len(answer["times"]) == len(column["mean"]) == len(column["min"]) == len(column["max"])
    assert answer["times"] == sorted(set(answer["times"]))
    assert (min(column["min"]), max(column["max"])) == (-15.0, 30.0)
    assert {30.0, 25.0} <= set(column["max"]) or max_points < 7
    assert all(
        low <= mean <= high for low, mean, high in zip(column["min"], column["mean"], column["max"], strict=True)
    )
    if max_points == 1:
        assert column["mean"][0] == pytest.approx(kept.mean(), rel=1e-6)


async def test_buckets_are_what_numpy_makes_of_them(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(10, 600)
    values = np.random.default_rng(1).normal(12, 1, len(times)).astype(np.float32)
    await recorded(operator, link, times, esnoDb=values.astype(float).tolist())

    answer = await series(operator, link, Metric.ESNO_DB, window=window(START, times[-1]), maxPoints=50)

    seconds = answer["bucketSeconds"]
    buckets = np.array([ms(at) // (1000 * seconds) for at in times[:-1]])
    assert answer["times"] == [int(bucket) * 1000 * seconds for bucket in np.unique(buckets)]
    for name, reduce in (("mean", np.mean), ("min", np.min), ("max", np.max)):
        expected = [float(reduce(values[:-1][buckets == bucket].astype(float))) for bucket in np.unique(buckets)]
        assert answer["columns"][0][name] == pytest.approx(expected, rel=1e-6)


async def test_exactly_as_many_samples_as_points_stay_raw(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60, 7)
    await recorded(operator, link, times, esnoDb=[12.0] * 7)

    raw = await series(operator, link, Metric.ESNO_DB, window={"hours": 72}, maxPoints=7)
    bucketed = await series(operator, link, Metric.ESNO_DB, window={"hours": 72}, maxPoints=6)

    assert (raw["bucketSeconds"], len(raw["times"])) == (None, 7)
    assert bucketed["bucketSeconds"] is not None
    assert len(bucketed["times"]) <= 6


async def test_a_bucket_without_a_measurement_is_null(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60, 4)
    await recorded(operator, link, times, esnoDb=[12.0] * 4, jitterMs=[None, None, 3.0, 4.0])

    answer = await series(
        operator, link, Metric.JITTER_MS, window=window(START, START + timedelta(minutes=4)), maxPoints=3
    )

    assert answer["columns"][0]["mean"] == [None, 3.5]


# ---------------------------------------------------------------- bad questions


async def test_a_metric_of_another_kind_is_refused_with_those_that_there_are(operator: Api, make: Factory) -> None:
    network = await make.network()
    document = """query ($number: Int!) { network(number: $number) { series(metrics: [ESNO_DB]) { times } } }"""

    with pytest.raises(GraphQLFailed) as failure:
        await operator.run(document, number=network.number)

    assert failure.value.codes == ["BAD_USER_INPUT"]
    assert failure.value.errors[0]["message"] == (
        "A network has no ESNO_DB; it has BANDWIDTH_MBPS, PACKET_LOSS_PCT, LATENCY_MS, ERROR_RATE, CONNECTIONS."
    )


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"hours": 0}, ["window", "hours"]),
        ({"hours": -1}, ["window", "hours"]),
        ({"hours": 1e300}, ["window", "hours"]),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, ["window", "from"]),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, ["window", "from"]),
        ({"from": "9999-12-31T00:00:00Z"}, ["window", "from"]),
        ({"from": "0001-01-01T00:00:00Z"}, ["window", "from"]),
        ({"to": "0001-01-01T00:00:00Z"}, ["window", "from"]),
    ],
)
async def test_an_impossible_window_is_refused(
    operator: Api, make: Factory, given: dict[str, Any], path: list[str]
) -> None:
    link = await make.link()

    for ask in (series, statistics):
        with pytest.raises(GraphQLFailed) as failure:
            await ask(operator, link, window=given)  # type: ignore[operator]

        assert failure.value.codes == ["BAD_USER_INPUT"]
        assert failure.value.errors[0]["extensions"]["inputPath"] == path


@pytest.mark.parametrize(
    "given",
    [
        {"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"},
        {"to": "0001-01-02T00:00:00Z", "hours": 48},
        {"from": "0001-01-01T00:00:00Z", "to": "0001-01-01T00:00:00.5Z"},
    ],
)
async def test_the_ends_of_time_are_empty(operator: Api, make: Factory, given: dict[str, Any]) -> None:
    link = await make.link()

    answer = await series(operator, link, window=given)
    counted = await statistics(operator, link, Metric.GRADE, window=given)

    assert answer["times"] == []
    assert counted[0]["count"] == 0


@pytest.mark.parametrize("max_points", [0, -1, 10_001])
async def test_an_impossible_number_of_points_is_refused(operator: Api, make: Factory, max_points: int) -> None:
    link = await make.link()

    with pytest.raises(GraphQLFailed) as failure:
        await series(operator, link, maxPoints=max_points)

    assert "10000" in failure.value.errors[0]["message"]
    assert str(max_points) in failure.value.errors[0]["message"]
    assert failure.value.codes == ["BAD_USER_INPUT"]


# ---------------------------------------------------------------- statistics


async def test_statistics_are_numpy_s(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60, 101)
    esno = np.random.default_rng(2).normal(12, 2, 101).astype(np.float32).astype(float)
    jitter: list[float | None] = [float(number) if number % 3 == 0 else None for number in range(101)]
    await recorded(operator, link, times, esnoDb=esno.tolist(), jitterMs=jitter)
    measured = [value for value in jitter if value is not None]

    answer = await statistics(operator, link, Metric.ESNO_DB, Metric.JITTER_MS, window={"hours": 72})

    for found, values in zip(answer, (esno, np.array(measured)), strict=True):
        assert found["count"] == len(values)
        assert found["min"] == pytest.approx(values.min(), rel=1e-6)
        assert found["max"] == pytest.approx(values.max(), rel=1e-6)
        assert found["mean"] == pytest.approx(values.mean(), rel=1e-6)
        assert found["p95"] == pytest.approx(np.percentile(values, 95), rel=1e-6)
        assert found["last"] == pytest.approx(values[-1], rel=1e-6)
    assert (answer[1]["last"], answer[1]["unit"]) == (99.0, "ms")  # row 100 was not measured


async def test_statistics_of_nothing_are_null(operator: Api, make: Factory) -> None:
    link, times = await make.link(), every(60, 2)
    await recorded(operator, link, times, esnoDb=[12.0, 12.3])

    [jitter] = await statistics(operator, link, Metric.JITTER_MS, window={"hours": 72})
    [nothing] = await statistics(operator, link, Metric.ESNO_DB, window=window(ago(hours=3), ago(hours=2)))

    empty = {"count": 0, "min": None, "max": None, "mean": None, "p95": None, "last": None}
    assert jitter == {"metric": "JITTER_MS", "unit": "ms", **empty}
    assert nothing == {"metric": "ESNO_DB", "unit": "dB", **empty}


# ---------------------------------------------------------------- grades and pages


async def test_the_grade_is_the_latest_of_each_direction(operator: Api, make: Factory) -> None:
    link, silent, times = await make.link(), await make.link(), [ago(minutes=minutes) for minutes in (4, 3, 2)]
    await recorded(operator, link, times, grade=[9.9, 3.0, 8.1])
    await recorded(operator, link, [ago(minutes=1)], jitterMs=[5.0])
    await recorded(operator, link, times[:1], "IB", grade=[5.5])
    document = "query ($n: Int!) { link(number: $n) { ib: grade(direction: IB) ob: grade(direction: OB) } }"

    graded = await operator.run(document, n=link.number)
    ungraded = await operator.run(document, n=silent.number)

    assert graded["link"] == {"ib": 5.5, "ob": 8.1}
    assert ungraded["link"] == {"ib": None, "ob": None}


@pytest.mark.parametrize("days", [3, 30])
async def test_the_last_value_says_when_it_was_measured(operator: Api, make: Factory, days: int) -> None:
    link, times = await make.link(), every(60, 3)
    await recorded(operator, link, times, esnoDb=[12.0, 11.5, None], jitterMs=[None, None, 5.0])

    data = await operator.run(
        "query ($n: Int!, $hours: Float!) { link(number: $n) {"
        " statistics(direction: OB, metrics: [ESNO_DB, LATENCY_MS], window: { hours: $hours }) { last lastAt } } }",
        n=link.number,
        hours=24 * days,
    )

    expected = [{"last": 11.5, "lastAt": zulu(times[1])}, {"last": None, "lastAt": None}]
    assert data["link"]["statistics"] == expected


GRADE = """query ($n: Int!) { link(number: $n) {
  grade(direction: OB) gradeAt(direction: OB) gradeStaleSince(direction: OB) } }"""


async def test_a_grade_says_when_it_was_measured(operator: Api, make: Factory) -> None:
    link, times = await make.link(), [ago(minutes=6), ago(minutes=1)]
    await recorded(operator, link, times, grade=[9.9, 8.1])

    graded = (await operator.run(GRADE, n=link.number))["link"]

    assert graded == {"grade": 8.1, "gradeAt": zulu(times[1]), "gradeStaleSince": None}


async def test_a_grade_that_is_older_than_its_pace_allows_is_stale(operator: Api, make: Factory) -> None:
    """The link died: what it last said is no grade of now, whether it reports without a grade or not at all."""
    silent, dead = await make.link(), await make.link()
    times = [ago(minutes=minutes) for minutes in (135, 130, 125, 120)]
    for link in (silent, dead):
        await recorded(operator, link, times, grade=[9.9] * 4)
    await recorded(operator, dead, [ago(minutes=1)], jitterMs=[5.0])

    graded = [(await operator.run(GRADE, n=link.number))["link"] for link in (silent, dead)]

    stale = {"grade": None, "gradeAt": zulu(times[-1]), "gradeStaleSince": zulu(ago(minutes=115))}
    assert graded == [stale, stale]


async def test_a_grade_of_a_stream_with_a_cadence_is_stale_when_the_stream_is_silent(
    operator: Api, services: Services, make: Factory
) -> None:
    link = await make.link()
    await recorded(operator, link, [ago(minutes=minutes) for minutes in (95, 90)], grade=[9.9, 9.8])
    async with services.database.write() as session:
        await session.execute(update(Stream).values(gaps=[3600.0] * 32))
    patient = (await operator.run(GRADE, n=link.number))["link"]

    async with services.database.write() as session:
        await session.execute(update(Stream).values(gaps=[300.0] * 32, heard_at=Stream.last_at))
    impatient = (await operator.run(GRADE, n=link.number))["link"]

    assert (patient["grade"], patient["gradeStaleSince"]) == (9.8, None)
    assert (impatient["grade"], impatient["gradeStaleSince"]) == (None, zulu(ago(minutes=85)))


async def test_a_page_of_links_costs_a_fixed_number_of_statements(
    operator: Api, make: Factory, statements: list[str]
) -> None:
    network = await make.network()
    links = [await make.link(network=network) for _ in range(20)]
    for number, link in enumerate(links):
        await recorded(operator, link, every(60, 4), esnoDb=[float(number)] * 4)
    document = """query ($first: Int!) { links(first: $first) { nodes { number
      grade(direction: OB)
      raw: series(direction: OB, metrics: [ESNO_DB], window: { hours: 72 }) { columns { mean } }
      few: series(direction: OB, metrics: [ESNO_DB], window: { hours: 72 }, maxPoints: 2) { columns { max } }
      statistics(direction: OB, metrics: [ESNO_DB], window: { hours: 72 }) { last } } } }"""
    await operator.run(document, first=1)

    statements.clear()
    await operator.run(document, first=2)
    for_two = len(statements)
    statements.clear()
    data = await operator.run(document, first=20)
    for_twenty = len(statements)

    nodes = {node["number"]: node for node in data["links"]["nodes"]}
    assert for_two == for_twenty <= 10
    assert [nodes[link.number]["statistics"][0]["last"] for link in links] == [float(n) for n in range(20)]
    assert [nodes[link.number]["raw"]["columns"][0]["mean"] for link in links] == [[float(n)] * 4 for n in range(20)]
