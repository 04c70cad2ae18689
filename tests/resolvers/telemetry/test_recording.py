"""Telemetry comes in: stored once, counted exactly, refused with reasons, all or nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind, grade
from resolvers.base.errors import to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import Link, Network, Site
from tests.helpers.support import (
    EXTREME,
    LINK_CENTRE,
    LINK_SPREAD,
    QUIET,
    Api,
    Factory,
    GraphQLFailed,
    Server,
    ago,
    iso,
    ms,
    record,
    record_levels,
    record_samples,
    several,
    sql,
    stored,
)

KINDS = pytest.mark.parametrize("kind", list(TargetKind))
LINK = TargetKind.LINK
NOON = ago(days=1).replace(hour=12, minute=0, second=0)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def some_target(make: Factory, kind: TargetKind) -> Network | Site | Link:
    return await {TargetKind.NETWORK: make.network, TargetKind.SITE: make.site, LINK: make.link}[kind]()


def keys(kind: TargetKind, number: int, at: Any, rows: int = 1) -> dict[str, Any]:
    """The columns that every batch needs."""
    directions = {"direction": ["OB"] * rows} if kind is LINK else {}
    return {kind.lower(): [number] * rows, "at": at if isinstance(at, list) else [at] * rows, **directions}


def as_samples(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [{**row, "at": iso(datetime.fromtimestamp(row["at"] / 1000, UTC))} for row in rows]


def middles(kind: TargetKind) -> dict[str, list[float]]:
    """A possible value of every metric, one that four bytes hold exactly."""
    return {
        to_camel_case(spec.column): [min(1000.0, float(round((spec.low + spec.high) / 3)))]
        for spec in CATALOGUE[kind].recorded_specs
    }


# ---------------------------------------------------------------- two ways in, every metric


@KINDS
async def test_inputs_have_every_metric_of_their_kind_and_no_other(api: Api, kind: TargetKind) -> None:
    document = "query ($name: String!) { __type(name: $name) { inputFields { name } } }"
    names = {to_camel_case(column) for column in CATALOGUE[kind].recorded_columns} | {kind.lower(), "at"}
    names |= {"direction"} if kind is LINK else set()

    samples = await api.run(document, name=f"{kind.capitalize()}SampleInput")
    columns = await api.run(document, name=f"{kind.capitalize()}Columns")

    assert {field["name"] for field in samples["__type"]["inputFields"]} == names
    assert {field["name"] for field in columns["__type"]["inputFields"]} == names


@KINDS
async def test_rows_and_columns_store_the_same(
    operator: Api, make: Factory, services: Services, kind: TargetKind
) -> None:
    one, other = await some_target(make, kind), await some_target(make, kind)
    values = middles(kind)
    whole = {to_camel_case(spec.column) for spec in CATALOGUE[kind].recorded_specs if spec.whole}
    rows = {name: [int(value) if name in whole else value for value in column] for name, column in values.items()}

    by_columns = await record(operator, kind, **keys(kind, one.number, ms(NOON)), **values)
    by_rows = await record_samples(operator, kind, as_samples({**keys(kind, other.number, ms(NOON)), **rows}))

    first, second = await stored(services, kind)
    assert by_columns["accepted"] == by_rows["accepted"] == 1
    assert {**first, f"{kind.lower()}_id": 0} == {**second, f"{kind.lower()}_id": 0}
    assert [first[column] for column in CATALOGUE[kind].recorded_columns] == [column[0] for column in values.values()]


@KINDS
async def test_each_metric_may_come_alone(operator: Api, make: Factory, services: Services, kind: TargetKind) -> None:
    target, specs = await some_target(make, kind), CATALOGUE[kind].recorded_specs
    times = [ms(NOON + timedelta(seconds=index)) for index in range(len(specs))]
    diagonal = {
        to_camel_case(spec.column): [spec.high if row == index else None for row in range(len(specs))]
        for index, spec in enumerate(specs)
    }

    answer = await record(operator, kind, **keys(kind, target.number, times, len(specs)), **diagonal)

    rows = await stored(services, kind)
    assert answer["accepted"] == len(specs)
    for row, spec in zip(rows, specs, strict=True):
        given = {column for column in CATALOGUE[kind].recorded_columns if row[column] is not None}
        assert given - {"grade"} == {spec.column} - {"grade"}
        assert row[spec.column] == pytest.approx(spec.high)


@KINDS
async def test_an_empty_batch_is_fine(operator: Api, kind: TargetKind) -> None:
    by_columns = await record(operator, kind, **keys(kind, 1, ms(NOON), 0) | {"at": []})
    by_rows = await record_samples(operator, kind, [])

    assert by_columns == by_rows
    assert (by_columns["accepted"], by_columns["duplicates"], by_columns["rejectedCount"]) == (0, 0, 0)


async def test_values_too_small_for_four_bytes_become_zero(operator: Api, make: Factory, services: Services) -> None:
    network = await make.network()

    answer = await record(
        operator, TargetKind.NETWORK, **keys(TargetKind.NETWORK, network.number, ms(NOON)), errorRate=[1e-50]
    )

    [row] = await stored(services, TargetKind.NETWORK)
    assert answer["accepted"] == 1
    assert row["error_rate"] == 0.0


# ---------------------------------------------------------------- the grade


async def test_the_grade_is_computed_when_it_is_omitted(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    readings = np.full((1, 12), np.nan)
    readings[0, CATALOGUE[LINK].metrics.index(Metric.ESNO_DB)] = 6.0
    readings[0, CATALOGUE[LINK].metrics.index(Metric.PACKET_LOSS_PCT)] = 2.5

    await record(operator, LINK, **keys(LINK, link.number, ms(NOON)), esnoDb=[6.0], packetLossPct=[2.5])

    [row] = await stored(services, LINK)
    assert row["grade"] == pytest.approx(grade(readings)[0], abs=1e-5)
    assert 0 < row["grade"] < 7


async def test_a_given_grade_stays(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()

    await record(operator, LINK, **keys(LINK, link.number, ms(NOON)), esnoDb=[3.0], grade=[9.5])

    [row] = await stored(services, LINK)
    assert row["grade"] == 9.5


async def test_without_anything_to_grade_by_there_is_no_grade(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()

    await record(operator, LINK, **keys(LINK, link.number, ms(NOON)), jitterMs=[3.0])

    [row] = await stored(services, LINK)
    assert row["grade"] is None


# ---------------------------------------------------------------- duplicates


async def test_stored_values_stay(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    where = keys(LINK, link.number, ms(NOON))
    await record(operator, LINK, **where, esnoDb=[12.0])

    again = await record(operator, LINK, **where, esnoDb=[3.0], jitterMs=[1.0])

    [row] = await stored(services, LINK)
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert (row["esno_db"], row["jitter_ms"]) == (12.0, 1.0)


async def test_duplicates_are_found_even_where_the_streams_were_lost(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    where = keys(LINK, link.number, [ms(NOON), ms(NOON) + 1], 2)
    await record(operator, LINK, **where, esnoDb=[12.0, 12.5])
    await sql(services, "DELETE FROM streams")

    again = await record(operator, LINK, **keys(LINK, link.number, [ms(NOON), ms(NOON) + 2], 2), esnoDb=[3.0, 4.0])

    assert (again["accepted"], again["duplicates"]) == (1, 1)
    assert [row["esno_db"] for row in await stored(services, LINK)] == [12.0, 12.5, 4.0]


async def test_of_repetitions_within_a_batch_the_first_is_stored(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()

    answer = await record(operator, LINK, **keys(LINK, link.number, ms(NOON), 3), esnoDb=[12.0, 11.0, 10.0])

    [row] = await stored(services, LINK)
    assert (answer["accepted"], answer["duplicates"], answer["rejectedCount"]) == (1, 2, 0)
    assert row["esno_db"] == 12.0


async def test_the_other_direction_and_another_time_are_no_duplicates(operator: Api, make: Factory) -> None:
    link = await make.link()
    columns = {"link": [link.number] * 3, "direction": ["OB", "IB", "OB"], "at": [ms(NOON)] * 2 + [ms(NOON) + 1]}

    answer = await record(operator, LINK, **columns, esnoDb=[12.0] * 3)

    assert (answer["accepted"], answer["duplicates"]) == (3, 0)


async def test_a_batch_that_is_sent_again_is_all_duplicates_and_opens_nothing(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    levels = {ago(minutes=5 - minute): EXTREME for minute in range(5)}

    first = await record_levels(operator, link, levels)
    second = await record_levels(operator, link, levels)

    assert (first["accepted"], len(first["anomalies"])) == (5, 1)
    assert (second["accepted"], second["duplicates"], second["anomalies"]) == (0, 5, [])


async def test_a_batch_may_be_partly_known(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    times = [ms(NOON) + 1000 * second for second in range(6)]
    await record(operator, LINK, **keys(LINK, link.number, times[1::2], 3), esnoDb=[1.0, 3.0, 5.0])

    answer = await record(operator, LINK, **keys(LINK, link.number, times, 6), esnoDb=[10.0 + i for i in range(6)])

    assert (answer["accepted"], answer["duplicates"]) == (3, 3)
    assert [row["esno_db"] for row in await stored(services, LINK)] == [10.0, 1.0, 12.0, 3.0, 14.0, 5.0]


# ---------------------------------------------------------------- refused rows


@KINDS
async def test_both_ends_of_a_range_are_possible_and_nothing_beyond(
    operator: Api, make: Factory, kind: TargetKind
) -> None:
    target = await some_target(make, kind)
    reasons = {}
    for number, spec in enumerate(CATALOGUE[kind].recorded_specs):
        times = [ms(NOON) + 10 * number + index for index in range(4)]
        values = {to_camel_case(spec.column): [spec.low, spec.high, spec.low - 0.01, spec.high * 1.01]}

        answer = await record(operator, kind, **keys(kind, target.number, times, 4), **values)

        assert (answer["accepted"], [entry["row"] for entry in answer["rejected"]]) == (2, [2, 3])
        reasons[spec.metric] = {entry["reason"].split(" must be between ")[0] for entry in answer["rejected"]}

    assert reasons == {metric: {metric} for metric in CATALOGUE[kind].recorded_metrics}


async def test_every_refused_row_is_named_with_its_reason(operator: Api, make: Factory, services: Services) -> None:
    link, now = await make.link(), datetime.now(UTC)
    good = {"link": link.number, "direction": "OB", "at": ms(now - timedelta(minutes=9)), "esnoDb": 12.0}
    rows: list[dict[str, Any]] = [
        good,
        good | {"link": 999_999_999},
        good | {"esnoDb": 41.0},
        good | {"at": ms(now + timedelta(minutes=4, seconds=59))},
        good | {"at": ms(now + timedelta(minutes=5, seconds=20))},
        good | {"at": ms(now - timedelta(days=401))},
        good | {"esnoDb": None},
        good | {"direction": "UP"},
        good | {"direction": None},
        good | {"link": None},
        good | {"at": None},
        good | {"link": 2**40},
        good | {"link": -1},
        good | {"at": 2**63 - 1},
        good | {"at": -(2**63)},
        good | {"at": ms(now - timedelta(days=399))},
    ]

    answer = await record(operator, LINK, **{name: [row[name] for row in rows] for name in good})

    reasons = {entry["row"]: entry["reason"] for entry in answer["rejected"]}
    assert (answer["accepted"], answer["duplicates"], answer["rejectedCount"]) == (3, 0, 13)
    assert len(await stored(services, LINK)) == 3
    assert reasons == {
        1: "There is no link with the number 999999999.",
        2: "ESNO_DB must be between -20 and 40 dB, and is 41.0.",
        4: "The time is more than 5 minutes ahead of the server's.",
        5: "The time is longer ago than samples are kept (400 days).",
        6: "No metric was measured.",
        7: "The direction must be IB or OB.",
        8: "The direction must be IB or OB.",
        9: "The link's number is missing.",
        10: "The time is missing.",
        11: "There is no link with the number 1099511627776.",
        12: "There is no link with the number -1.",
        13: "The time is more than 5 minutes ahead of the server's.",
        14: "The time is longer ago than samples are kept (400 days).",
    }


async def test_rows_are_refused_with_their_index_too(operator: Api, make: Factory) -> None:
    network = await make.network()
    samples = [
        {"network": 1, "at": iso(NOON), "latencyMs": 600},
        {"network": network.number, "at": iso(NOON), "latencyMs": 600},
        {"network": network.number, "at": iso(NOON + timedelta(seconds=1)), "errorRate": 1.5},
        {"network": network.number, "at": iso(NOON)},
    ]

    answer = await record_samples(operator, TargetKind.NETWORK, samples)

    assert answer["accepted"] == 1
    assert answer["rejected"] == [
        {"row": 0, "reason": "There is no network with the number 1."},
        {"row": 2, "reason": "ERROR_RATE must be between 0 and 1, and is 1.5."},
        {"row": 3, "reason": "No metric was measured."},
    ]


async def test_at_most_a_hundred_refusals_are_listed_and_all_are_counted(operator: Api) -> None:
    answer = await record(operator, LINK, **keys(LINK, 5, ms(NOON), 250), esnoDb=[12.0] * 250)

    assert (answer["accepted"], answer["rejectedCount"]) == (0, 250)
    assert [entry["row"] for entry in answer["rejected"]] == list(range(100))


async def test_more_targets_than_a_statement_has_parameters_are_no_problem(operator: Api) -> None:
    rows = 40_000
    columns = {"network": list(range(1, rows + 1)), "at": [ms(NOON)] * rows, "latencyMs": [600.0] * rows}

    answer = await record(operator, TargetKind.NETWORK, **columns)

    assert (answer["__typename"], answer["rejectedCount"]) == ("RecordedMetrics", rows)


# ---------------------------------------------------------------- refused batches


async def test_columns_of_unequal_length_are_invalid(operator: Api, services: Services) -> None:
    answer = await record(operator, LINK, **keys(LINK, 7, ms(NOON), 2), esnoDb=[12.0])

    assert answer["__typename"] == "InvalidInput"
    assert answer["path"] == ["columns", "esnoDb"]
    assert answer["message"] == "`at` has 2 entries, but `esnoDb` has 1."
    assert await stored(services, LINK) == []


async def test_more_than_a_hundred_thousand_rows_are_invalid(operator: Api) -> None:
    rows = 100_001

    answer = await record(operator, LINK, **keys(LINK, 7, ms(NOON), rows), esnoDb=[12.0] * rows)

    assert answer["__typename"] == "InvalidInput"
    assert answer["message"] == "At most 100000 rows at once; these are 100001. Send them in parts."


async def test_wrong_types_are_told_of_and_nothing_is_stored(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    wrong: list[tuple[str, object, str]] = [
        ("esnoDb", ["12.0"], "at .esnoDb: The list may only contain numbers or null; entry 0 is '12.0'."),
        ("esnoDb", [True], "The list may only contain numbers or null; entry 0 is True."),
        ("esnoDb", [12.0, [1]], "The list may only contain numbers or null; entry 1 is [1]."),
        ("esnoDb", [12, 12.5, "N/A"], "The list may only contain numbers or null; entry 2 is 'N/A'."),
        ("esnoDb", {"0": 12.0}, "Expected a list of numbers."),
        ("esnoDb", 12.0, "Expected a list of numbers."),
        ("link", ["7"], "The list may only contain integers or null; entry 0 is '7'."),
        ("link", [7.5], "The list may only contain integers or null; entry 0 is 7.5."),
        ("at", [1e300], "The list may only contain integers or null; entry 0 is 1e+300."),
        ("direction", ["OB" * 1000], "The list may only contain 'IB' or 'OB' or null; entry 0 is 'OBOBOB"),
        ("link", [True], "The list may only contain integers or null; entry 0 is True."),
        ("at", [2**63], "The list may only contain integers or null; entry 0 is 9223372036854775808."),
        ("at", "now", "Expected a list of integers."),
        ("direction", [1], "The list may only contain 'IB' or 'OB' or null; entry 0 is 1."),
        ("direction", [False], "The list may only contain 'IB' or 'OB' or null; entry 0 is False."),
        ("direction", "OB", "Expected a list of 'IB' or 'OB'."),
    ]

    for column, values, message in wrong:
        with pytest.raises(GraphQLFailed) as failure:
            await record(operator, LINK, **{**keys(LINK, link.number, ms(NOON)), "esnoDb": [12.0], column: values})

        assert failure.value.codes == ["BAD_USER_INPUT"]
        assert message in failure.value.errors[0]["message"]

    assert await stored(services, LINK) == []


async def test_columns_may_be_written_into_the_document(operator: Api, make: Factory) -> None:
    link = await make.link(number=7)
    columns = f'{{ link: [7, 7], direction: ["IB", OB], at: [{ms(NOON)}, {ms(NOON)}], esnoDb: [12, 1e400] }}'

    data = await operator.run(
        f"mutation {{ recordLinkColumns(columns: {columns}) {{ ... on RecordedMetrics {{"
        " accepted rejected { row reason } } } }"
    )

    assert link.number == 7
    assert data["recordLinkColumns"] == {
        "accepted": 1,
        "rejected": [{"row": 1, "reason": "ESNO_DB must be between -20 and 40 dB, and is inf."}],
    }


# ---------------------------------------------------------------- times


async def test_a_time_without_offset_or_sense_is_refused(operator: Api, make: Factory) -> None:
    network = await make.network()

    for at in ("2026-01-31T12:00:00", "2026-01-31", "yesterday", "2026-02-30T12:00:00Z", 1769860800000, None):
        with pytest.raises(GraphQLFailed) as failure:
            await record_samples(
                operator, TargetKind.NETWORK, [{"network": network.number, "at": at, "latencyMs": 600}]
            )

        assert failure.value.codes == ["BAD_USER_INPUT"]


async def test_times_are_converted_exactly(operator: Api, make: Factory, services: Services) -> None:
    network = await make.network()
    seconds = {"12:00:00Z": 0, "14:00:01+02:00": 1, "11:00:00.123Z": -3599.877, "06:30:02.5-05:30": 2.5}
    samples = [{"network": network.number, "at": f"{NOON:%Y-%m-%d}T{time}", "latencyMs": 600} for time in seconds]

    await record_samples(operator, TargetKind.NETWORK, samples)

    times = [row["at"] for row in await stored(services, TargetKind.NETWORK)]
    assert times == sorted(NOON + timedelta(milliseconds=round(1000 * second)) for second in seconds.values())


async def test_every_millisecond_stays_itself(operator: Api, make: Factory, services: Services) -> None:
    network = await make.network()
    times = [NOON + timedelta(milliseconds=n) for n in range(1000)]
    samples = [{"network": network.number, "at": iso(at), "latencyMs": 600} for at in times]

    answer = await record_samples(operator, TargetKind.NETWORK, samples)

    assert answer["accepted"] == 1000
    assert [row["at"] for row in await stored(services, TargetKind.NETWORK)] == times


async def test_samples_on_both_sides_of_a_week_s_border(operator: Api, make: Factory, services: Services) -> None:
    network = await make.network()
    monday = (NOON - timedelta(days=NOON.weekday() + 7)).replace(hour=0)
    times = [monday + timedelta(milliseconds=n) for n in (-1, 0, 1)]

    answer = await record(
        operator,
        TargetKind.NETWORK,
        **keys(TargetKind.NETWORK, network.number, [ms(at) for at in times], 3),
        latencyMs=[1.0, 2.0, 3.0],
    )

    assert answer["accepted"] == 3
    assert [row["at"] for row in await stored(services, TargetKind.NETWORK)] == times


async def test_a_batch_may_span_sixty_weeks(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    times = [ms(ago(hours=1, weeks=week)) for week in range(60)]

    answer = await record(operator, LINK, **keys(LINK, link.number, times, 60), esnoDb=[12.0] * 60)

    assert (answer["accepted"], answer["rejectedCount"]) == (58, 2)  # samples are kept for 400 days
    assert len(await stored(services, LINK)) == 58


async def test_weeks_are_made_in_every_database_that_a_process_serves(
    operator: Api, make: Factory, services: Services, server: Server
) -> None:
    link = await make.link()
    await record(operator, LINK, **keys(LINK, link.number, ms(NOON)), esnoDb=[12.0])
    await sql(services, "DELETE FROM link_samples")

    async with server() as other:
        answer = await record(other.with_token(operator.token), LINK, **keys(LINK, link.number, ms(NOON)), esnoDb=[1.0])

    assert answer["accepted"] == 1


# ---------------------------------------------------------------- who may


@KINDS
async def test_a_viewer_may_not_record(api: Api, services: Services, kind: TargetKind) -> None:
    viewer = await api.as_(Role.VIEWER)
    columns = keys(kind, 1, ms(NOON))

    by_columns = await record(viewer, kind, **columns)
    by_rows = await record_samples(viewer, kind, as_samples(columns))

    assert by_columns == by_rows
    assert by_columns == {
        "__typename": "Forbidden",
        "message": "You need the role OPERATOR to record metrics; yours is VIEWER.",
        "requiredRole": "OPERATOR",
    }
    assert await stored(services, kind) == []


@KINDS
async def test_somebody_anonymous_must_sign_in_to_record(api: Api, kind: TargetKind) -> None:
    with pytest.raises(GraphQLFailed) as by_columns:
        await record(api, kind, **keys(kind, 1, ms(NOON)))
    with pytest.raises(GraphQLFailed) as by_rows:
        await record_samples(api, kind, as_samples(keys(kind, 1, ms(NOON))))

    assert by_columns.value.codes == by_rows.value.codes == ["UNAUTHENTICATED"]


# ---------------------------------------------------------------- many at once


@pytest.mark.parametrize("processes", [1, 2])
async def test_writers_of_the_same_rows_in_opposite_order_neither_deadlock_nor_count_twice(
    server: Server, make: Factory, services: Services, processes: int
) -> None:
    network = await make.network()
    numbers = [(await make.link(network=network)).number for _ in range(10)]

    def batch(day: int, first: int, step: int) -> dict[str, Any]:
        rows = [(number, ms(NOON - timedelta(days=day)) + second) for number in numbers for second in range(20)]
        chosen = rows[first : first + 100][::step]
        return {"link": [row[0] for row in chosen], "at": [row[1] for row in chosen]}

    async with several(server, processes) as apis:
        writers = [await api.as_(Role.OPERATOR) for api in apis]
        for day in range(3):  # late ones, after the first round
            answers = await asyncio.gather(
                *(
                    record(
                        writers[n % 2],
                        LINK,
                        **batch(day, 25 * (n % 5), 1 if n % 4 < 2 else -1),
                        direction=["OB"] * 100,
                        esnoDb=[12.0] * 100,
                    )
                    for n in range(20)
                )
            )

            assert sum(answer["accepted"] for answer in answers) == 200
            assert sum(answer["duplicates"] for answer in answers) == 20 * 100 - 200
    assert len(await stored(services, LINK)) == 600


async def test_batches_that_race_to_open_an_episode_open_one_anomaly(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    now = datetime.now(UTC).replace(microsecond=0)
    times = [now - timedelta(seconds=30 * number) for number in range(20)]  # of the present

    answers = await asyncio.gather(*(record_levels(operator, link, {at: EXTREME}) for at in times))

    data = await operator.run("{ anomalies { nodes { status startedAt lastSeenAt } } }")
    assert len({anomaly["id"] for answer in answers for anomaly in answer["anomalies"]}) == 1
    assert [node["status"] for node in data["anomalies"]["nodes"]] == ["OPEN"]
    assert data["anomalies"]["nodes"][0]["startedAt"] == iso(times[-1]).replace("+00:00", "Z")
    assert data["anomalies"]["nodes"][0]["lastSeenAt"] == iso(times[0]).replace("+00:00", "Z")


@pytest.mark.parametrize("table", ["anomalies", "events", "audit_entries", "streams"])
async def test_all_or_nothing(operator: Api, make: Factory, services: Services, table: str) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    present = services.clock().replace(microsecond=0)  # of the past, nobody would be told
    levels = {present - timedelta(minutes=3): QUIET, present - timedelta(minutes=2): EXTREME}
    await sql(
        services,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk caught fire'; END $$",
        f"CREATE TRIGGER refusing BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()",
    )

    with pytest.raises(GraphQLFailed) as failure, capture_logs() as logged:
        await record_levels(operator, link, levels)
    left_behind = await stored(services, LINK)
    await sql(services, f"DROP TRIGGER refusing ON {table}")
    again = await record_levels(operator, link, levels)

    assert failure.value.codes == ["INTERNAL_SERVER_ERROR"]
    assert "fire" not in str(failure.value.errors)
    assert [entry["event"] for entry in logged] == ["an operation failed"]
    assert left_behind == []
    assert (again["accepted"], again["duplicates"], len(again["anomalies"])) == (2, 0, 1)
