"""What people reported of other products' ingestion, as samples; each with the report that it is of."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from schema.scalars import parse_time
from tests.helpers.support import Api, Factory, ago, ms, record, stored

LINK, NETWORK = TargetKind.LINK, TargetKind.NETWORK
NOON = ago(days=1).replace(hour=12, minute=0, second=0)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        # EnviroDIY/ModularSensors#253: -9999 for a modem's signal while its other data is fine
        ("rxLevelDbm", -9999.0, "must be between -150 and 10 dBm"),
        # schumar/ESP_BaPoTeSta#28: the largest integer, now and then
        ("esnoDb", 2147483647.0, "must be between -20 and 40 dB"),
        # martynwheeler/u-lora#14: a negative ratio read as an unsigned number
        ("esnoDb", 56.0, "must be between -20 and 40 dB"),
        # ViperRNMC/marstek_venus_modbus#77: a share of 2500 % for one reading
        ("utilizationPct", 2500.0, "must be between 0 and 100 %"),
        # OtisPresley/snmp-switch-manager#90: negative throughput after a switch restarted
        ("throughputMbps", -43_200.0, "must be between 0 and 100,000 Mbit/s"),
        # Cacti/cacti#3901: petabits after a line card restarted
        ("throughputMbps", 1.2e9, "must be between 0 and 100,000 Mbit/s"),
        # Ozark-Connect/NetworkOptimizer#764: a difference to a counter's value before a restart
        ("errors", -4_294_901_760.0, "must be between 0 and 1,000,000,000"),
        # our own: a rate that is sent as a count
        ("discards", 0.37, "must be a whole number"),
    ],
)
async def test_a_reading_that_nobody_can_measure_leaves_the_others(
    operator: Api, make: Factory, services: Services, column: str, value: float, reason: str
) -> None:
    link = await make.link()
    keys = {"link": [link.number], "direction": ["OB"], "at": [ms(NOON)]}

    answer = await record(operator, LINK, **keys, **{column: [value], "latencyMs": [600.0]})

    [row] = await stored(services, LINK)
    assert answer["accepted"] == 1
    assert answer["leftOut"] == [{"column": column, "reason": reason, "count": 1, "example": str(value)}]
    assert row["latency_ms"] == 600.0


async def test_other_values_of_known_moments_are_counted_and_late_ones_are_not_among_them(
    operator: Api, make: Factory
) -> None:
    # prometheus/prometheus#2493 and grafana-cold-storage/metrictank#1202: one counter for both told nothing.
    link = await make.link()
    minutes = [0, 1, 2, 3]
    times = [ms(NOON + timedelta(minutes=minute)) for minute in minutes]
    keys: dict[str, Any] = {"link": [link.number] * 4, "direction": ["OB"] * 4}
    await record(operator, LINK, **keys, at=times, esnoDb=[12.0, 12.1, 12.2, 12.3])

    late = [times[0], times[1], times[0] - 60_000, times[0] - 30_000]
    answer = await record(operator, LINK, **keys, at=late, esnoDb=[12.0, 11.0, 12.0, 12.0])

    assert (answer["accepted"], answer["duplicates"], answer["conflicting"]) == (2, 2, 1)


async def test_times_in_seconds_are_not_stored_in_1970(operator: Api, make: Factory, services: Services) -> None:
    # vmiklos/plees-tracker#579: thousands of samples imported into January of 1970
    network, at = await make.network(), ms(NOON) // 1000

    answer = await record(operator, NETWORK, network=[network.number], at=[at], latencyMs=[600.0])

    said = f"The time looks like seconds since 1970, but must be in milliseconds, and is {at}."
    assert answer["rejected"] == [{"row": 0, "reason": said}]
    assert await stored(services, NETWORK) == []


async def test_a_large_count_is_not_rounded_to_another(operator: Api, make: Factory, services: Services) -> None:
    # biolab/orange2#57: 308632021 came back as 308632032
    network = await make.network()

    await record(operator, NETWORK, network=[network.number], at=[ms(NOON)], connections=[308_632_021])

    [row] = await stored(services, NETWORK)
    assert row["connections"] == 308_632_021


async def test_what_python_writes_for_a_missing_value_is_named(api: Api) -> None:
    # apify/apify-client-python#87: "Unexpected token N in JSON at position 7"; opendsm/opendsm#301: deep in an object
    body = json.dumps(
        {"query": "{ __typename }", "variables": {"columns": {"mape": None, "mape_no_zeros": float("nan")}}}
    )

    response = await api.http.post(api.url, content=body, headers={"content-type": "application/json"})

    message = response.json()["errors"][0]["message"]
    place = body.index("NaN") + 1
    assert (
        message == f"The body is not JSON: JSON has no NaN; send null. It is in `mape_no_zeros` at character {place}."
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        # danielrichman/strict-rfc3339#4: the RFC's own examples
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, tzinfo=UTC)),
        ("1990-12-31T23:59:60Z", datetime(1991, 1, 1, tzinfo=UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1991, 1, 1, tzinfo=UTC)),
        ("1937-01-01T12:00:27.87+00:20", datetime(1937, 1, 1, 11, 40, 27, 870_000, tzinfo=UTC)),
        # gleam-lang/time#24: what `date --rfc-3339=seconds` prints
        ("2025-07-15 16:35:56+02:00", datetime(2025, 7, 15, 14, 35, 56, tzinfo=UTC)),
    ],
)
def test_the_rfc_s_examples_are_moments(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


def test_a_date_is_no_moment() -> None:
    # gleam-lang/time#24: what `date --rfc-3339=date` prints
    with pytest.raises(GraphQLError, match="is not an RFC 3339 timestamp"):
        parse_time("2025-07-15")
