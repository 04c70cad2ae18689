"""One unusable reading costs its cell, never its sample, whichever way it comes in."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.telemetry import recording
from resolvers.telemetry.left_out import CELL, LISTED_KINDS, LeftOutCells, add_counts
from tests.helpers.support import (
    LINK_CENTRE,
    LINK_SPREAD,
    Api,
    Factory,
    ago,
    iso,
    ms,
    record,
    record_samples,
    stored,
)

LINK = TargetKind.LINK
NOON = ago(days=1).replace(hour=12, minute=0, second=0)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


def left_out(answer: dict[str, Any]) -> list[tuple[str, str, int, str]]:
    return [(cells["column"], cells["reason"], cells["count"], cells["example"]) for cells in answer["leftOut"]]


@pytest.mark.parametrize("way", ["rows", "columns"])
async def test_an_impossible_reading_costs_only_its_cell(
    operator: Api, make: Factory, services: Services, way: str
) -> None:
    # What modems send while they have no lock: -99 (iDirect's SNR), 255 (an unsigned -1). A level and loss stay true.
    link = await make.link()
    times = [NOON, NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)]
    columns = {"esnoDb": [-99.0, 255.0, 12.0], "rxLevelDbm": [-40.0] * 3, "packetLossPct": [100.0, 100.0, 0.0]}

    if way == "columns":
        keys = {"link": [link.number] * 3, "direction": ["OB"] * 3, "at": [ms(at) for at in times]}
        answer = await record(operator, LINK, **keys, **columns)
    else:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        keyed = zip(times, rows, strict=True)
        samples = [{"link": link.number, "direction": "OB", "at": iso(at), **row} for at, row in keyed]
        answer = await record_samples(operator, LINK, samples)

    kept = await stored(services, LINK)
    assert (answer["accepted"], answer["rejectedCount"], answer["leftOutCount"]) == (3, 0, 2)
    assert left_out(answer) == [("esnoDb", "must be between -20 and 40 dB", 2, "-99.0")]
    assert [row["esno_db"] for row in kept] == [None, None, 12.0]
    assert [row["packet_loss_pct"] for row in kept] == [100.0, 100.0, 0.0]


async def test_an_outage_is_noticed_although_its_es_n0_cannot_be_used(operator: Api, make: Factory) -> None:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    times = [ms(ago(minutes=9 - minute)) for minute in range(9)]
    keys = {"link": [link.number] * 9, "direction": ["OB"] * 9, "at": times}

    answer = await record(operator, LINK, **keys, esnoDb=[-99.0] * 9, packetLossPct=[100.0] * 9, uptimePct=[0.0] * 9)

    assert (answer["accepted"], answer["leftOutCount"], len(answer["anomalies"])) == (9, 9, 1)


async def test_the_grade_is_computed_from_what_is_left(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    keys = {"link": [link.number], "direction": ["OB"], "at": [ms(NOON)]}

    await record(operator, LINK, **keys, esnoDb=[-99.0], uptimePct=[100.0], grade=[11.0])

    [row] = await stored(services, LINK)
    assert (row["esno_db"], row["grade"]) == (None, 10.0)


async def test_a_row_with_nothing_left_is_refused_and_says_why(operator: Api, make: Factory) -> None:
    link = await make.link()
    keys = {"link": [link.number] * 2, "direction": ["OB"] * 2, "at": [ms(NOON), ms(NOON) + 1]}

    answer = await record(operator, LINK, **keys, esnoDb=[-99.0, None], jitterMs=[-1.0, None])

    assert (answer["accepted"], answer["leftOutCount"], answer["leftOut"]) == (0, 0, [])
    assert answer["rejected"] == [
        {"row": 0, "reason": "ESNO_DB must be between -20 and 40 dB, and is -99.0."},
        {"row": 1, "reason": "No metric was measured."},
    ]


async def test_cells_of_refused_rows_are_not_counted_twice(operator: Api, make: Factory) -> None:
    link = await make.link()
    keys = {"link": [link.number, 999_999], "direction": ["OB"] * 2, "at": [ms(NOON)] * 2}

    answer = await record(operator, LINK, **keys, esnoDb=[-99.0] * 2, rxLevelDbm=[-40.0] * 2)

    assert (answer["accepted"], answer["rejectedCount"], answer["leftOutCount"]) == (1, 1, 1)
    assert answer["rejected"] == [{"row": 1, "reason": "There is no link with the number 999999."}]


async def test_cells_that_a_file_left_out_are_reported_with_the_others(make: Factory, services: Services) -> None:
    link = await make.link()
    unread = [{"column": "esno_db", "value": "N/A dB", "reason": "must be a number"}]
    frame = pl.DataFrame(
        {
            "number": [link.number] * 3,
            "direction": ["OB"] * 3,
            "at": [ms(NOON) + index for index in range(3)],
            "rx_level_dbm": [-40.0, None, -300.0],
            "jitter_ms": [1.0, None, 2.0],
            "left_out": pl.Series([unread, unread, None], dtype=pl.List(CELL)),
        }
    )

    batch = await recording.record(Context(services, SYSTEM), LINK, frame)

    assert (batch.accepted, batch.rejected_count, batch.left_out_count) == (2, 1, 2)
    assert batch.left_out == [
        LeftOutCells("esnoDb", "must be a number", 1, "N/A dB"),
        LeftOutCells("rxLevelDbm", "must be between -150 and 10 dBm", 1, "-300.0"),
    ]
    assert [(entry.row, entry.reason) for entry in batch.rejected] == [(1, "ESNO_DB must be a number, and is N/A dB.")]


def test_batches_add_up_to_a_bounded_list() -> None:
    one = [LeftOutCells("esnoDb", "no lock", 2, "-99"), LeftOutCells("jitterMs", "negative", 9, "-1")]
    other = [LeftOutCells("esnoDb", "no lock", 3, "255")]
    many = [LeftOutCells(f"column{number}", "odd", 1, "?") for number in range(LISTED_KINDS)]

    assert add_counts(one, other) == [one[1], LeftOutCells("esnoDb", "no lock", 5, "-99")]
    assert len(add_counts(one, many)) == LISTED_KINDS
