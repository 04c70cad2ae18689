"""What says how and where something was measured is recorded and read like the rest, and judged by nobody."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import Link, Site
from tests.helpers.support import Api, Factory, ago, ms, record, stored

LINK, SITE = TargetKind.LINK, TargetKind.SITE
NOON = ago(days=1).replace(hour=12, minute=0, second=0)
OF_LINK = """query ($number: Int!, $metrics: [Metric!], $maxPoints: Int!, $from: DateTime!, $to: DateTime!) {
  link(number: $number) {
    series(direction: OB, metrics: $metrics, window: { from: $from, to: $to }, maxPoints: $maxPoints) {
      bucketSeconds columns { metric unit mean min max } }
    statistics(direction: OB, metrics: $metrics, window: { from: $from, to: $to }) { metric count mean last } } }"""
OF_SITE = OF_LINK.replace("link(", "site(").replace("direction: OB, ", "")


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


async def record_link(operator: Api, link: Link, **columns: list[Any]) -> dict[str, Any]:
    """Records a sample each minute from noon on."""
    rows = len(next(iter(columns.values())))
    at = [ms(NOON + timedelta(minutes=row)) for row in range(rows)]
    return await record(operator, LINK, link=[link.number] * rows, direction=["OB"] * rows, at=at, **columns)


async def record_site(operator: Api, site: Site, **columns: list[Any]) -> dict[str, Any]:
    rows = len(next(iter(columns.values())))
    at = [ms(NOON + timedelta(minutes=row)) for row in range(rows)]
    return await record(operator, SITE, site=[site.number] * rows, at=at, **columns)


async def read(
    api: Api, document: str, number: int, metrics: list[str] | None, *, points: int = 1000, hours: int = 1
) -> Any:
    window = {"from": NOON.isoformat(), "to": (NOON + timedelta(hours=hours)).isoformat()}
    [found] = (await api.run(document, number=number, metrics=metrics, maxPoints=points, **window)).values()
    return found


# ---------------------------------------------------------------- in and out


async def test_they_are_recorded_and_read_where_named(operator: Api, make: Factory) -> None:
    link = await make.link()
    await record_link(
        operator, link, esnoDb=[12.0, 9.0], modcod=[18, 14], symbolRateKsps=[5000.5, 5000.5], beam=[12, None]
    )

    found = await read(operator, OF_LINK, link.number, ["MODCOD", "SYMBOL_RATE_KSPS", "BEAM"])

    assert [(c["metric"], c["unit"], c["mean"]) for c in found["series"]["columns"]] == [
        ("MODCOD", "", [18, 14]),
        ("SYMBOL_RATE_KSPS", "ksps", [5000.5, 5000.5]),
        ("BEAM", "", [12, None]),
    ]
    assert found["statistics"] == [
        {"metric": "MODCOD", "count": 2, "mean": 16, "last": 14},
        {"metric": "SYMBOL_RATE_KSPS", "count": 2, "mean": 5000.5, "last": 5000.5},
        {"metric": "BEAM", "count": 1, "mean": 12, "last": 12},
    ]


async def test_whoever_names_no_metrics_gets_what_there_was_before(operator: Api, make: Factory) -> None:
    link = await make.link()
    await record_link(operator, link, esnoDb=[12.0], modcod=[18])

    found = await read(operator, OF_LINK, link.number, None)

    assert [column["metric"] for column in found["series"]["columns"]] == [*CATALOGUE[LINK].metrics]
    assert [entry["metric"] for entry in found["statistics"]] == [*CATALOGUE[LINK].metrics]


async def test_a_sample_may_say_nothing_else(operator: Api, make: Factory, services: Services) -> None:
    site = await make.site()

    answer = await record_site(operator, site, latitudeDeg=[54.5], longitudeDeg=[8.25], headingDeg=[270])

    [row] = await stored(services, SITE)
    assert answer["accepted"] == 1
    assert (row["latitude_deg"], row["longitude_deg"], row["heading_deg"]) == (54.5, 8.25, 270.0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("latitudeDeg", 91.0),  # AIS: not available
        ("longitudeDeg", 181.0),  # AIS: not available
        ("headingDeg", 511.0),  # AIS: not available
    ],
)
async def test_what_stands_for_no_position_costs_its_cell_only(
    operator: Api, make: Factory, services: Services, column: str, value: float
) -> None:
    site = await make.site()

    answer = await record_site(operator, site, responseTimeMs=[640.0], **{column: [value]})

    [row] = await stored(services, SITE)
    assert (answer["accepted"], answer["leftOutCount"]) == (1, 1)
    assert answer["leftOut"][0]["column"] == column
    assert row["response_time_ms"] == 640.0


# ---------------------------------------------------------------- buckets


@pytest.mark.parametrize(
    ("column", "values", "mean"),
    [
        ("headingDeg", [350.0, 10.0, 0.0], 0.0),
        ("headingDeg", [340.0, 350.0, 0.0], 350.0),
        ("headingDeg", [80.0, 90.0, 100.0], 90.0),
        ("headingDeg", [-170.0, 170.0, 180.0], -180.0),  # an Autel drone counts from -180
        ("longitudeDeg", [179.0, -179.0, 178.0], 179.3333),
        ("longitudeDeg", [-10.0, 10.0, 3.0], 1.0),
    ],
)
async def test_means_go_around_the_circle(
    operator: Api, make: Factory, column: str, values: list[float], mean: float
) -> None:
    site = await make.site()
    await record_site(operator, site, **{column: values})

    metric = {"headingDeg": "HEADING_DEG", "longitudeDeg": "LONGITUDE_DEG"}[column]
    found = await read(operator, OF_SITE, site.number, [metric], points=1)

    [series] = found["series"]["columns"]
    assert found["series"]["bucketSeconds"] is not None
    assert [(value - mean + 180) % 360 for value in series["mean"]] == [pytest.approx(180, abs=1e-3)]
    assert (series["min"], series["max"]) == ([min(values)], [max(values)])
    assert (found["statistics"][0]["mean"] - mean + 180) % 360 == pytest.approx(180, abs=1e-3)


async def test_weeks_are_read_from_samples_as_there_are_no_roll_ups(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    await record_link(operator, link, modcod=[18, 18, 12], esnoDb=[12.0, 12.0, 9.0])

    found = await read(operator, OF_LINK, link.number, ["ESNO_DB", "MODCOD"], points=2, hours=24 * 14)

    assert [column["mean"] for column in found["series"]["columns"]] == [[11.0], [16.0]]
    assert [entry["mean"] for entry in found["statistics"]] == [11.0, 16.0]


# ---------------------------------------------------------------- again


async def test_a_duplicate_fills_in_what_was_missing(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    await record_link(operator, link, esnoDb=[12.0, 9.0], beam=[3, 3])

    answer = await record_link(operator, link, modcod=[18, 14])

    rows = await stored(services, LINK)
    assert (answer["duplicates"], answer["merged"], answer["conflicting"]) == (2, 2, 0)
    assert [(row["esno_db"], row["modcod"], row["beam"]) for row in rows] == [(12.0, 18.0, 3.0), (9.0, 14.0, 3.0)]


async def test_a_duplicate_without_them_leaves_them(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    await record_link(operator, link, esnoDb=[12.0], modcod=[18])

    answer = await record_link(operator, link, esnoDb=[12.0], rxLevelDbm=[-45.0])

    [row] = await stored(services, LINK)
    assert answer["merged"] == 1
    assert (row["modcod"], row["rx_level_dbm"]) == (18.0, -45.0)


async def test_the_first_value_stays_and_the_difference_is_told(
    operator: Api, make: Factory, services: Services
) -> None:
    link = await make.link()
    await record_link(operator, link, modcod=[18])

    answer = await record_link(operator, link, modcod=[14])

    [row] = await stored(services, LINK)
    assert (answer["conflicting"], row["modcod"]) == (1, 18.0)


async def test_one_batch_may_say_a_sample_in_parts(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()
    keys = {"link": [link.number] * 2, "direction": ["OB"] * 2, "at": [ms(NOON)] * 2}

    answer = await record(operator, LINK, **keys, esnoDb=[12.0, None], modcod=[None, 18])

    [row] = await stored(services, LINK)
    assert (answer["accepted"], answer["merged"]) == (1, 1)
    assert (row["esno_db"], row["modcod"]) == (12.0, 18.0)


# ---------------------------------------------------------------- nobody judges them


async def test_streams_remember_the_same_with_and_without_them(
    operator: Api, make: Factory, services: Services
) -> None:
    plain, told = await make.link(), await make.link()
    levels = [-45.0 + 0.1 * (row % 7) for row in range(120)] + [-60.0] * 20

    without = await record_link(operator, plain, rxLevelDbm=levels)
    jumping = [1 + 27 * (row % 2) for row in range(140)]
    with_them = await record_link(operator, told, rxLevelDbm=levels, modcod=jumping, beam=jumping)

    async with services.database.driver() as connection:
        rows = await connection.fetch("SELECT target_id, memory, centre FROM streams ORDER BY target_id")
    assert rows[0]["memory"] == rows[1]["memory"]
    assert np.array_equal(rows[0]["centre"], rows[1]["centre"], equal_nan=True)
    assert len(without["anomalies"]) == len(with_them["anomalies"])


async def test_samples_without_them_are_stored_as_before(operator: Api, make: Factory, services: Services) -> None:
    link = await make.link()

    await record_link(operator, link, esnoDb=[12.0])

    [row] = await stored(services, LINK)
    assert [row[spec.column] for spec in CATALOGUE[LINK].context_specs] == [None, None, None]
