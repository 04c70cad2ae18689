"""The main path: telemetry goes in, an anomaly comes out live."""

from datetime import UTC, datetime, timedelta

from resolvers.base.roles import Role
from tests.helpers.support import Api, Factory, ms

LINK_CENTRE = [4.0, 45.0, 1.0, 1.0, 100.0, 12.0, -45.0, 33.0, 600.0, 12.0, 0.1, 9.5]
LINK_SPREAD = [1.0, 8.0, 2.0, 2.0, 0.5, 0.3, 0.3, 0.3, 8.0, 2.0, 0.1, 0.15]
WATCH = (
    "subscription { anomalyDetected { cursor change anomaly { status direction target { ... on Link { number } } } } }"
)
RECORD = """mutation ($columns: LinkColumns!) { recordLinkColumns(columns: $columns) {
  __typename ... on RecordedMetrics { accepted duplicates rejectedCount anomalies { severity } } } }"""


async def test_a_fading_link_is_told_of_live(api: Api, make: Factory) -> None:
    link = await make.link(number=7)
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, direction="OB")
    operator = await api.as_(Role.OPERATOR)
    times = [ms(datetime.now(UTC) - timedelta(minutes=minute)) for minute in (3, 2, 1)]
    fading = {"link": [7] * 3, "direction": ["OB"] * 3, "at": times, "esnoDb": [4.0] * 3, "rxLevelDbm": [-53.0] * 3}

    async with operator.socket() as socket:
        await socket.subscribe(WATCH)
        recorded = (await operator.run(RECORD, columns=fading))["recordLinkColumns"]
        event = (await socket.next())["anomalyDetected"]

    assert recorded["accepted"] == 3
    assert len(recorded["anomalies"]) == 1
    assert event["change"] == "OPENED"
    assert event["anomaly"] == {"status": "OPEN", "direction": "OB", "target": {"number": 7}}
