"""Orders, cadences and clocks that users of other products reported as trouble, tried on our judging."""

from datetime import datetime, timedelta

import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.store.tables.core import Link
from tests.helpers.support import EXTREME, LINK_CENTRE, LINK_SPREAD, MILD, QUIET, Api, Factory, ago, ms, record
from tests.resolvers.detection import test_late_samples
from tests.resolvers.detection.test_late_samples import course, found, send, send_singly, shown, told

operator = test_late_samples.operator
NIGHT = ago(hours=30)


@pytest.fixture
async def link(make: Factory) -> Link:
    link = await make.link()
    await make.baseline(link, LINK_CENTRE, LINK_SPREAD, "OB")
    return link


async def spans(api: Api, link: Link) -> list[tuple[str, str, str]]:
    return [anomaly[:3] for anomaly in await told(api, link)]


async def test_a_consumer_that_catches_up_in_pieces_opens_one_anomaly(operator: Api, link: Link) -> None:
    """grafana-cold-storage/metrictank 17: pieces of a backfill made an alert go to OK and back, several times."""
    rows = course(*[QUIET] * 5, *[EXTREME] * 24)

    await send(operator, link, rows[:9], rows[26:], rows[18:22], rows[12:18], rows[22:26], rows[9:12])

    assert await spans(operator, link) == [("OPEN", shown(rows[5][0]), shown(rows[28][0]))]


async def test_a_target_that_is_polled_each_twelve_hours_has_one_anomaly(operator: Api, link: Link) -> None:
    """Obmondo/KubeAid 113 and m-lab/prometheus-support 630: a longer interval made it flap or never fire."""
    rows = course(*[QUIET] * 4, *[EXTREME] * 5, start=ago(hours=12 * 9), every=43_200)

    await send_singly(operator, link, rows)

    assert await spans(operator, link) == [("OPEN", shown(rows[4][0]), shown(rows[8][0]))]


async def test_nothing_ends_before_it_begins(operator: Api, link: Link) -> None:
    """prometheus/prometheus 1386: alerts were resolved at times that were not behind their starts."""
    rows = course(*[QUIET] * 3, *[EXTREME] * 3, *[QUIET] * 6)

    for row in [*rows[6:], *rows[:6][::-1]]:
        await send(operator, link, [row])
        for anomaly in await found(operator, link):
            assert anomaly["startedAt"] <= anomaly["lastSeenAt"] <= (anomaly["endedAt"] or anomaly["lastSeenAt"])

    assert await spans(operator, link) == [("RESOLVED", shown(rows[3][0]), shown(rows[5][0]))]


async def test_an_hour_without_samples_divides_an_outage_as_nobody_knows_of_it(operator: Api, link: Link) -> None:
    """Cacti/cacti 1061: when summer time ended, an hour of samples was missing."""
    before = course(*[QUIET] * 3, *[EXTREME] * 5, start=NIGHT, every=300)
    after = course(*[EXTREME] * 5, start=before[-1][0] + timedelta(minutes=65), every=300)

    await send_singly(operator, link, before + after)

    assert await spans(operator, link) == [
        ("RESOLVED", shown(before[3][0]), shown(before[-1][0])),
        ("OPEN", shown(after[0][0]), shown(after[-1][0])),
    ]


async def test_a_logger_that_jumps_ahead_for_an_hour_and_back_has_no_outages_of_no_length(
    operator: Api, link: Link
) -> None:
    """pvlib/pvanalytics 104: a logger went to summer time, noticed an hour later, and repeated that hour."""
    hour = timedelta(hours=1)
    rows = course(*[QUIET] * 10, *[EXTREME] * 20, *[QUIET] * 50, start=NIGHT)
    ahead = [(at + hour if 15 <= number < 45 else at, value) for number, (at, value) in enumerate(rows)]

    await send_singly(operator, link, ahead[:20])
    await send(operator, link, ahead[20:])

    anomalies = await spans(operator, link)
    assert anomalies == [
        ("RESOLVED", shown(rows[10][0]), shown(rows[14][0])),
        ("RESOLVED", shown(rows[15][0] + hour), shown(rows[29][0] + hour)),
    ]


async def test_hourly_records_that_appear_twice_change_nothing(operator: Api, link: Link) -> None:
    """meteostat/cli 15: observations of the repeated hour were in the database twice."""
    rows = course(QUIET, QUIET, EXTREME, EXTREME, QUIET, start=NIGHT, every=3600)
    await send(operator, link, rows)
    before = await found(operator, link)

    await send(operator, link, rows[1:4], [(at, MILD) for at, _ in rows[1:4]])

    assert await found(operator, link) == before


ERRORS = [2_000_000.0 + number % 3 for number in range(70)]


async def send_errors(api: Api, link: Link, errors: list[float], start: datetime = NIGHT) -> int:
    times = [ms(start + timedelta(minutes=number)) for number in range(len(errors))]
    key = {"link": [link.number] * len(errors), "direction": ["OB"] * len(errors), "at": times}
    answer = await record(api, TargetKind.LINK, **key, errors=errors)
    return len(answer["anomalies"])


async def test_a_counter_that_begins_anew_after_a_reboot_is_no_anomaly(operator: Api, make: Factory) -> None:
    """monitoring-plugins/monitoring-plugins 2257, SteScho/manubulon-snmp 62: a reboot was read as an overflow."""
    link = await make.link()
    await send_errors(operator, link, ERRORS)

    assert await send_errors(operator, link, [0.0, 1.0, 2.0, 3.0], NIGHT + timedelta(minutes=70)) == 0


async def test_a_counter_that_is_zero_for_a_moment_is_no_anomaly(operator: Api, make: Factory) -> None:
    """netdata/netdata 6077: an interface's counter was 0 now and then, and its return was an enormous rate."""
    link = await make.link()
    await send_errors(operator, link, ERRORS)

    after = [2_000_001.0, 0.0, 2_000_002.0, 2_000_001.0]
    assert await send_errors(operator, link, after, NIGHT + timedelta(minutes=70)) == 0


@pytest.mark.parametrize("seconds", [80, 240])
async def test_one_sample_of_a_clock_that_is_ahead_suppresses_none_that_follow(
    operator: Api, link: Link, seconds: int
) -> None:
    """abarghoud/SentryGuard 210: senders are 80 s ahead. percona/rds_exporter 123: one event held back all others."""
    start = ago(minutes=8)
    await send(operator, link, course(*[QUIET] * 5, start=start))
    await send(operator, link, [(start + timedelta(minutes=5, seconds=seconds), QUIET)])

    await send_singly(operator, link, course(EXTREME, EXTREME, start=start + timedelta(minutes=5)))

    begin = start + timedelta(minutes=5)
    assert await spans(operator, link) == [("OPEN", shown(begin), shown(begin + timedelta(minutes=1)))]


async def test_what_was_measured_while_nobody_listened_is_judged_and_nobody_is_woken(operator: Api, link: Link) -> None:
    """raintank/worldping-api 13: after an outage of the alerting system, checks should run after the fact, quietly."""
    await send(operator, link, course(*[QUIET] * 10, start=ago(minutes=12)))

    async with operator.socket() as socket:
        await socket.subscribe("subscription { anomalyDetected { change anomaly { id } } }")
        await send(operator, link, course(*[QUIET] * 5, *[EXTREME] * 5, *[QUIET] * 20, start=ago(hours=3)))
        assert await socket.silent(0.3)

    assert [status for status, *_ in await spans(operator, link)] == ["RESOLVED"]


async def test_a_flapping_value_that_is_filled_in_late_is_not_pending_for_ever(operator: Api, link: Link) -> None:
    """grafana/grafana 46912: an alert that was pending stayed so while the value came and went."""
    rows = course(*[MILD, QUIET, QUIET, QUIET] * 6)

    await send(operator, link, rows[::2], rows[1::2])

    assert await spans(operator, link) == []


async def test_a_gap_has_no_anniversaries(operator: Api, link: Link) -> None:
    """grafana/synthetic-monitoring-app 231: a week after a gap in the samples, its alert came again."""
    week = timedelta(days=7)
    first = course(*[QUIET] * 10, *[EXTREME] * 5, *[QUIET] * 10, start=NIGHT - week)

    await send(operator, link, first[:5] + first[20:], first[5:20])
    await send(operator, link, [(at + week, QUIET) for at, _ in first])

    assert await spans(operator, link) == [("RESOLVED", shown(first[10][0]), shown(first[14][0]))]
