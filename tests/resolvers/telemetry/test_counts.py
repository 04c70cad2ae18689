"""Counts come back as they were sent, from samples, roll-ups, statistics and live."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.telemetry import samples
from tests.helpers.support import Api, Factory, ago, ms, record, stored

KINDS = pytest.mark.parametrize("kind", list(TargetKind))
ODD = 16_777_217  # the first whole number that four bytes do not hold
LARGEST = 999_999_999
NOON = ago(days=3).replace(hour=12, minute=0, second=0)
SERIES = """query ($number: Int!, $window: TimeWindow!, $most: Int!) { network(number: $number) {
  series(metrics: [CONNECTIONS], window: $window, maxPoints: $most) {
    bucketSeconds columns { mean min max } }
  statistics(metrics: [CONNECTIONS], window: $window) { min max mean p95 last } } }"""


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@KINDS
async def test_every_count_is_stored_and_read_exactly(
    operator: Api, make: Factory, services: Services, kind: TargetKind
) -> None:
    makers: dict[TargetKind, Any] = {TargetKind.NETWORK: make.network, TargetKind.SITE: make.site}
    target = await makers.get(kind, make.link)()
    counts = [spec.column for spec in CATALOGUE[kind].specs if spec.whole]
    values = {to_camel_case(column): [ODD, LARGEST] for column in counts}
    keys = {kind.lower(): [target.number] * 2, "at": [ms(NOON), ms(NOON) + 1]}

    await record(operator, kind, **keys, **values, **({"direction": ["OB"] * 2} if kind is TargetKind.LINK else {}))

    rows = await stored(services, kind)
    assert [[row[column] for row in rows] for column in counts] == [[ODD, LARGEST]] * len(counts)
    async with services.database.driver() as connection:
        frame = await samples.load(connection, kind, [target.id], NOON, NOON + timedelta(seconds=1))
    assert sorted(frame[counts[0]].to_list()) == [ODD, LARGEST]


@pytest.mark.parametrize("are_rolled_up", [False, True])
async def test_series_and_statistics_do_not_round_them(
    operator: Api, make: Factory, services: Services, are_rolled_up: bool
) -> None:
    network = await make.network()
    times = [ms(NOON + timedelta(hours=hour, minutes=minute)) for hour in range(4) for minute in (0, 30)]
    counts = [ODD] * 7 + [LARGEST]
    await record(
        operator, TargetKind.NETWORK, network=[network.number] * 8, at=times, connections=[float(n) for n in counts]
    )
    if are_rolled_up:
        await maintain(services)

    def window(start: datetime, days: int) -> dict[str, str]:
        return {"from": start.isoformat(), "to": (start + timedelta(days=days)).isoformat()}

    raw = await operator.run(SERIES, number=network.number, window=window(NOON, 1), most=1000)
    days = await operator.run(SERIES, number=network.number, window=window(NOON - timedelta(days=200), 201), most=7)

    [column] = raw["network"]["series"]["columns"]
    assert column["mean"] == column["min"] == column["max"] == counts
    assert raw["network"]["statistics"][0]["max"] == raw["network"]["statistics"][0]["last"] == LARGEST
    assert raw["network"]["statistics"][0]["min"] == ODD
    assert days["network"]["statistics"][0]["min"] == ODD
    assert days["network"]["statistics"][0]["mean"] == pytest.approx(sum(counts) / 8, rel=1e-12)
    assert days["network"]["series"]["bucketSeconds"] % 86_400 == 0
    [of_days] = days["network"]["series"]["columns"]
    assert (min(filter(None, of_days["min"])), max(filter(None, of_days["max"]))) == (ODD, LARGEST)
