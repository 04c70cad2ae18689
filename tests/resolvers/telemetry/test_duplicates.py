"""The same target, direction and time again: what was missing is filled in, what differs is told or replaces."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.tables.core import Link
from resolvers.telemetry.duplicates import Duplicates, merge_repeats
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    QUIET,
    Api,
    Factory,
    ago,
    ms,
    record,
    record_levels,
    stored,
    until,
)

LINK, SITE = TargetKind.LINK, TargetKind.SITE
NOON = ago(days=1).replace(hour=12, minute=0, second=0)
RECORD = """mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns, replace: true) {
  __typename ... on RecordedMetrics { accepted duplicates merged conflicting replaced }
  ... on Forbidden { message requiredRole } } }"""
STATISTICS = """query ($n: Int!) { link(number: $n) { grade(direction: OB)
  statistics(direction: OB, metrics: [ESNO_DB, PACKET_LOSS_PCT], window: { hours: 240 }) { count max last } } }"""


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@pytest.fixture
async def link(make: Factory) -> Link:
    return await make.link()


def keys(link: Link, rows: int = 1) -> dict[str, Any]:
    return {"link": [link.number] * rows, "direction": ["OB"] * rows, "at": [ms(NOON)] * rows}


def counts(answer: dict[str, Any]) -> tuple[int, ...]:
    return tuple(answer[name] for name in ("accepted", "duplicates", "merged", "conflicting", "replaced"))


async def replace(api: Api, **columns: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.run(RECORD, columns=columns))["recordLinkColumns"]
    return answer


# ---------------------------------------------------------------- filled in


async def test_a_duplicate_fills_in_what_is_null_and_leaves_the_rest(
    operator: Api, link: Link, services: Services
) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])

    again = await record(operator, LINK, **keys(link), esnoDb=[None], jitterMs=[1.5], errors=[16_777_217.0])

    [row] = await stored(services, LINK)
    assert counts(again) == (0, 1, 1, 0, 0)
    assert (row["esno_db"], row["jitter_ms"], row["errors"]) == (12.0, 1.5, 16_777_217)


async def test_what_changes_nothing_is_a_duplicate_and_no_more(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.1], jitterMs=[1.5])

    answers = [
        await record(operator, LINK, **keys(link), esnoDb=[12.1], jitterMs=[1.5]),
        await record(operator, LINK, **keys(link), jitterMs=[1.5]),
    ]

    assert [counts(answer) for answer in answers] == [(0, 1, 0, 0, 0)] * 2
    assert len(await stored(services, LINK)) == 1


async def test_a_differing_value_is_told_and_the_stored_one_stays(
    operator: Api, link: Link, services: Services
) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])

    again = await record(operator, LINK, **keys(link), esnoDb=[3.0], jitterMs=[1.0])

    [row] = await stored(services, LINK)
    assert counts(again) == (0, 1, 1, 1, 0)
    assert (row["esno_db"], row["jitter_ms"]) == (12.0, 1.0)


async def test_a_mended_file_fills_in_the_column_that_was_dropped(
    operator: Api, link: Link, services: Services
) -> None:
    # A heading that was nearly ours: all rows were stored without Es/N0, and the mended file was all duplicates.
    times = [ms(NOON + timedelta(minutes=minute)) for minute in range(600)]
    columns = {"link": [link.number] * 600, "direction": ["OB"] * 600, "at": times}
    await record(operator, LINK, **columns, rxLevelDbm=[-45.0] * 600)

    again = await record(operator, LINK, **columns, rxLevelDbm=[-45.0] * 600, esnoDb=[12.0] * 600)

    assert counts(again) == (0, 600, 600, 0, 0)
    assert {row["esno_db"] for row in await stored(services, LINK)} == {12.0}


async def test_sites_and_networks_merge_too(operator: Api, make: Factory, services: Services) -> None:
    site = await make.site()
    where = {"site": [site.number], "at": [ms(NOON)]}
    await record(operator, SITE, **where, cpuPct=[40.0])

    again = await record(operator, SITE, **where, cpuPct=[41.0], errorCount=[7.0])

    [row] = await stored(services, SITE)
    assert counts(again) == (0, 1, 1, 1, 0)
    assert (row["cpu_pct"], row["error_count"]) == (40.0, 7.0)


# ---------------------------------------------------------------- what follows


async def test_a_computed_grade_is_computed_again(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])

    again = await record(operator, LINK, **keys(link), packetLossPct=[5.0])

    [row] = await stored(services, LINK)
    assert (counts(again), row["grade"]) == ((0, 1, 1, 0, 0), 5.0)


async def test_a_given_grade_takes_a_computed_one_s_place_and_then_stays(
    operator: Api, link: Link, services: Services
) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[6.0])

    given = await record(operator, LINK, **keys(link), grade=[8.5])
    filled = await record(operator, LINK, **keys(link), packetLossPct=[5.0])
    other = await record(operator, LINK, **keys(link), grade=[9.5])

    [row] = await stored(services, LINK)
    assert [counts(answer)[2:] for answer in (given, filled, other)] == [(1, 0, 0), (1, 0, 0), (0, 1, 0)]
    assert row["grade"] == 8.5


async def test_a_filled_in_outage_makes_its_anomaly(operator: Api, link: Link, make: Factory) -> None:
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    times = [ms(ago(minutes=20 - minute)) for minute in range(20)]
    columns = {"link": [link.number] * 20, "direction": ["OB"] * 20, "at": times}
    first = await record(operator, LINK, **columns, latencyMs=[600.0] * 20)

    again = await record(operator, LINK, **columns, rxLevelDbm=[QUIET] * 10 + [EXTREME] * 10)

    assert (first["anomalies"], counts(again)) == ([], (0, 20, 20, 0, 0))
    assert len(again["anomalies"]) == 1


async def test_pending_alarms_are_judged_with_what_was_filled_in(operator: Api, link: Link, make: Factory) -> None:
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    at = ago(minutes=3)
    await record_levels(operator, link, {ago(minutes=4): QUIET, at: QUIET + 2.5})  # odd, but too little for an anomaly

    again = await record(
        operator, LINK, link=[link.number], direction=["OB"], at=[ms(at)], packetLossPct=[100.0], uptimePct=[0.0]
    )

    assert (counts(again), len(again["anomalies"])) == ((0, 1, 1, 0, 0), 1)


async def test_statistics_and_roll_ups_follow(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])
    await maintain(services)

    await record(operator, LINK, **keys(link), packetLossPct=[2.0])
    before = await operator.run(STATISTICS, n=link.number)
    await maintain(services)
    after = await operator.run(STATISTICS, n=link.number)

    loss = {"count": 1, "max": 2.0, "last": 2.0}
    assert before["link"]["statistics"][1] == after["link"]["statistics"][1] == loss


async def test_followers_see_the_whole_sample(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])
    following = asyncio.create_task(anext(services.live.follow(frozenset([link.id]))))
    await until(lambda: services.live.followers == 1)

    await record(operator, LINK, **keys(link), jitterMs=[3.0])
    [samples] = await asyncio.wait_for(following, 60)

    assert samples.series.mean[Metric.ESNO_DB].tolist() == [12.0]
    assert samples.series.mean[Metric.JITTER_MS].tolist() == [3.0]


async def test_only_new_samples_are_counted_of_a_stream(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])

    await record(operator, LINK, **keys(link), jitterMs=[3.0])

    async with services.database.read() as session:
        assert (await session.execute(text("SELECT samples FROM streams"))).scalars().all() == [1]


async def test_what_was_restored_without_its_streams_merges(operator: Api, link: Link, services: Services) -> None:
    await record(operator, LINK, **keys(link), esnoDb=[12.0])
    async with services.database.write() as session:
        await session.execute(text("DELETE FROM streams"))

    again = await record(operator, LINK, **keys(link), jitterMs=[3.0])

    [row] = await stored(services, LINK)
    assert (counts(again), row["jitter_ms"]) == ((0, 1, 1, 0, 0), 3.0)


# ---------------------------------------------------------------- replaced


async def test_an_admin_may_replace_and_it_is_noted(api: Api, link: Link, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    await record(admin, LINK, **keys(link), esnoDb=[12.0], jitterMs=[1.0])

    answer = await replace(admin, **keys(link), esnoDb=[5.0])

    [row] = await stored(services, LINK)
    assert counts(answer) == (0, 1, 0, 0, 1)
    assert (row["esno_db"], row["jitter_ms"]) == (5.0, 1.0)
    assert row["grade"] == pytest.approx(10 / 3, abs=1e-5)
    async with services.database.read() as session:
        query = text("SELECT details, by_id FROM audit_entries WHERE action = 'SAMPLES_REPLACED'")
        [(details, by)] = (await session.execute(query)).all()
    assert details == f"1 samples of links, from {NOON.isoformat()} to {NOON.isoformat()}"
    assert by is not None


async def test_an_operator_may_not_replace(operator: Api, link: Link, services: Services) -> None:
    answer = await replace(operator, **keys(link), esnoDb=[5.0])

    assert answer == {
        "__typename": "Forbidden",
        "message": "You need the role ADMIN to replace metrics; yours is OPERATOR.",
        "requiredRole": "ADMIN",
    }
    assert await stored(services, LINK) == []


async def test_new_samples_are_stored_while_others_are_replaced(api: Api, link: Link, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)
    await record(admin, LINK, **keys(link), esnoDb=[12.0])
    times = [ms(NOON) - 1, ms(NOON), ms(NOON) + 1]

    answer = await replace(admin, link=[link.number] * 3, direction=["OB"] * 3, at=times, esnoDb=[1.0, 2.0, 3.0])

    assert counts(answer) == (2, 1, 0, 0, 1)
    assert [row["esno_db"] for row in await stored(services, LINK)] == [1.0, 2.0, 3.0]


# ---------------------------------------------------------------- twice in one batch


async def test_of_the_same_moment_twice_nulls_are_filled_and_the_first_value_stays(
    operator: Api, link: Link, services: Services
) -> None:
    answer = await record(
        operator, LINK, **keys(link, 4), esnoDb=[None, 12.0, 3.0, None], jitterMs=[1.0, None, None, 1.0]
    )

    [row] = await stored(services, LINK)
    assert counts(answer) == (1, 3, 1, 1, 0)
    assert (row["esno_db"], row["jitter_ms"], row["grade"]) == (12.0, 1.0, 10.0)


async def test_of_the_same_moment_twice_the_last_value_replaces(api: Api, link: Link, services: Services) -> None:
    admin = await api.as_(Role.ADMIN)

    answer = await replace(admin, **keys(link, 3), esnoDb=[12.0, None, 3.0], jitterMs=[None, 1.0, None])

    [row] = await stored(services, LINK)
    assert counts(answer) == (1, 2, 1, 0, 1)
    assert (row["esno_db"], row["jitter_ms"], row["grade"]) == (3.0, 1.0, 0.0)


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("is_replacing", [False, True])
async def test_it_makes_no_difference_how_repetitions_are_cut_into_batches(
    api: Api, link: Link, services: Services, cut: int, is_replacing: bool
) -> None:
    admin = await api.as_(Role.ADMIN)
    values = {"esnoDb": [None, 12.0, 3.0, 12.0], "jitterMs": [1.0, 2.0, None, 1.0], "grade": [None, None, 7.0, None]}
    found = []
    for cuts in ((0, 4), (0, cut, 4)):
        totals = [0] * 5
        for begin, end in pairwise(cuts):
            part = {name: column[begin:end] for name, column in (keys(link, 4) | values).items()}
            answer = await replace(admin, **part) if is_replacing else await record(admin, LINK, **part)
            totals = [total + one for total, one in zip(totals, counts(answer), strict=True)]
        found.append((totals, await stored(services, LINK)))
        async with services.database.write() as session:
            await session.execute(text("DELETE FROM link_samples"))
            await session.execute(text("DELETE FROM streams"))

    assert found[0][1] == found[1][1]
    assert found[0][0][:2] == found[1][0][:2]


def test_rows_that_are_not_repeated_keep_their_order_and_types() -> None:
    columns = {column: pl.Series([1.0, 2.0, 1.0], dtype=pl.Float64) for column in CATALOGUE[SITE].columns}
    rows = pl.DataFrame({"row": [0, 1, 2], "site_id": [7, 8, 7], "at": [5, 5, 5], **columns})

    unique, duplicates = merge_repeats(SITE, rows, replace=False)

    assert unique.sort("row").equals(rows.head(2))
    assert duplicates == Duplicates()
