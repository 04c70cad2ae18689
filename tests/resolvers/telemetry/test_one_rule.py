"""What a whole number is, what a moment is, and what clocks and counters may do: the same for rows and columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from graphql import GraphQLError

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from schema.scalars import parse_time
from tests.helpers.support import (
    LINK_CENTRE,
    LINK_SPREAD,
    Api,
    Factory,
    GraphQLFailed,
    ago,
    iso,
    ms,
    record,
    record_samples,
    stored,
)

NETWORK, LINK = TargetKind.NETWORK, TargetKind.LINK
NOON = ago(days=1).replace(hour=12, minute=0, second=0)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


def reasons(answer: dict[str, Any]) -> list[str]:
    return [entry["reason"] for entry in answer["rejected"]]


# ---------------------------------------------------------------- whole numbers


async def test_a_whole_number_may_be_written_as_a_fraction(operator: Api, make: Factory, services: Services) -> None:
    # 9036.0 is what pandas makes of a column of integers with a gap, 1.79E12 what a spreadsheet makes of epoch ms.
    network = await make.network(number=9036)
    columns = {"network": [9036.0, 9036], "at": [float(ms(NOON)), ms(NOON) + 1], "connections": [20.0, 21]}
    sample = {"network": 9036.0, "at": iso(NOON + timedelta(seconds=1)), "connections": 22.0}

    by_columns = await record(operator, NETWORK, **columns)
    by_rows = await record_samples(operator, NETWORK, [sample])

    assert (by_columns["accepted"], by_rows["accepted"]) == (2, 1)
    assert [row["connections"] for row in await stored(services, NETWORK)] == [20, 21, 22]
    assert network.number == 9036


async def test_a_fraction_of_a_whole_is_left_out_of_columns_and_named_in_rows(operator: Api, make: Factory) -> None:
    network = await make.network()
    keys = {"network": [network.number], "at": [ms(NOON)]}

    answer = await record(operator, NETWORK, **keys, connections=[7.5], latencyMs=[600.0])
    with pytest.raises(GraphQLFailed) as failure:
        await record_samples(operator, NETWORK, [{"network": network.number, "at": iso(NOON), "connections": 7.5}])

    assert answer["accepted"] == 1
    assert answer["leftOut"] == [
        {"column": "connections", "reason": "must be a whole number", "count": 1, "example": "7.5"}
    ]
    assert "[0].connections: Int cannot represent non-integer value: 7.5" in failure.value.errors[0]["message"]


# ---------------------------------------------------------------- moments


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31t12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),  # a leap second
        ("2026-01-31T12:00:00.123456789Z", datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC)),  # of Go and Java
        ("2026-01-31T12:00:00.123456Z", datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T12:00:00-00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5+05:45", datetime(2026, 1, 31, 6, 15, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_rfc_3339_is_read_in_full(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2026-01-31T12:00:00", "'2026-01-31T12:00:00' has no offset; append Z for UTC."),
        ("2026-W05-6T12:00:00Z", "'2026-W05-6T12:00:00Z' is not an RFC 3339 timestamp"),
        ("2026-01-31T25:00:00Z", "'2026-01-31T25:00:00Z' is not an RFC 3339 timestamp"),
        ("2026-01-31T12:00:00+24:00", "'2026-01-31T12:00:00+24:00' is not an RFC 3339 timestamp"),
        (1769860800, "1769860800 may be the seconds since 1970 of 2026-01-31T12:00:00Z"),
        ("1769860800000", "1769860800000 may be the milliseconds since 1970 of 2026-01-31T12:00:00Z"),
        (1769860800000000000, "may be the nanoseconds since 1970 of 2026-01-31T12:00:00Z"),
        (True, "A DateTime is a string, such as 2026-01-31T12:00:00Z."),
        (7, "A DateTime is a string, such as 2026-01-31T12:00:00Z."),
    ],
)
def test_what_is_no_moment_is_told_with_what_it_may_be(value: object, message: str) -> None:
    with pytest.raises(GraphQLError, match=r".") as failure:
        parse_time(value)

    assert message in str(failure.value)


async def test_columns_in_another_unit_are_told_so(operator: Api, make: Factory, services: Services) -> None:
    network, at = await make.network(), ms(NOON)
    times = [at // 1000, at * 1000, at * 1_000_000, at]

    answer = await record(operator, NETWORK, network=[network.number] * 4, at=times, latencyMs=[600.0] * 4)

    words = "The time looks like {} since 1970, but must be in milliseconds, and is {}."
    units = ["seconds", "microseconds", "nanoseconds"]
    assert reasons(answer) == [words.format(unit, time) for unit, time in zip(units, times, strict=False)]
    assert len(await stored(services, NETWORK)) == answer["accepted"] == 1


async def test_an_hour_that_clocks_show_twice_is_two_hours(operator: Api, make: Factory, services: Services) -> None:
    network = await make.network()
    day = NOON.date().isoformat()
    samples = [
        {"network": network.number, "at": f"{day}T02:30:00{offset}", "latencyMs": latency}
        for offset, latency in (("+02:00", 600.0), ("+01:00", 700.0), ("+01:00", 800.0))
    ]

    answer = await record_samples(operator, NETWORK, samples)

    rows = await stored(services, NETWORK)
    assert (answer["accepted"], answer["duplicates"], answer["conflicting"]) == (2, 1, 1)
    assert [(row["at"].hour, row["latency_ms"]) for row in rows] == [(0, 600.0), (1, 700.0)]


async def test_a_clock_that_jumps_ahead_is_refused_and_one_that_jumps_back_is_late(
    operator: Api, make: Factory, services: Services
) -> None:
    link, now = await make.link(), datetime.now(UTC)
    minutes = [-3.0, -2.0, 58.0, -62.0, -1.0, -2.0]  # an hour ahead, an hour back, right again, and once repeated
    times = [ms(now + timedelta(minutes=minute)) for minute in minutes]
    answers = [
        await record(operator, LINK, link=[link.number], direction=["OB"], at=[at], esnoDb=[12.0]) for at in times
    ]

    assert [answer["accepted"] for answer in answers] == [1, 1, 0, 1, 1, 0]
    assert [reasons(answer) for answer in answers][2] == ["The time is more than 5 minutes ahead of the server's."]
    assert answers[-1]["duplicates"] == 1
    assert [ms(row["at"]) for row in await stored(services, LINK)] == sorted({*times} - {times[2]})


# ---------------------------------------------------------------- counters and gauges


async def test_a_counter_that_starts_again_is_stored_as_it_is_and_alarms_nobody(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    times = [ms(ago(minutes=120 - minute)) for minute in range(120)]
    counted = [1000.0 + 10 * minute for minute in range(60)] + [10.0 * minute for minute in range(60)]
    columns = {"link": [link.number] * 120, "direction": ["OB"] * 120, "at": times}

    answer = await record(operator, LINK, **columns, errors=counted, esnoDb=[12.0] * 120)

    assert (answer["accepted"], answer["leftOutCount"], answer["anomalies"]) == (120, 0, [])
    assert [row["errors"] for row in await stored(services, LINK)] == counted


async def test_a_difference_of_a_counter_that_started_again_is_left_out(operator: Api, make: Factory) -> None:
    link = await make.link()

    answer = await record(
        operator, LINK, link=[link.number], direction=["OB"], at=[ms(NOON)], errors=[-4_294_967_000], esnoDb=[12.0]
    )

    assert (answer["accepted"], answer["leftOut"][0]["example"]) == (1, "-4294967000.0")


async def test_a_gauge_that_never_moves_is_usual_and_the_least_step_is_no_fault(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    times = [ms(ago(minutes=200 - minute)) for minute in range(200)]
    level = np.full(200, -45.0)
    level[150:] = -45.1

    answer = await record(
        operator, LINK, link=[link.number] * 200, direction=["OB"] * 200, at=times, rxLevelDbm=level.tolist()
    )

    assert (answer["accepted"], answer["anomalies"]) == (200, [])
