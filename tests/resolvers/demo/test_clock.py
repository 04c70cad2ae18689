from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from resolvers.demo.clock import FleetClock, find_catch_up, to_fleet_time
from resolvers.demo.evidence import list_paces
from resolvers.store.tables.demo import DemoRun

START = datetime(2026, 11, 30, 12, tzinfo=UTC)


def run(speed: float = 30.0, behind: timedelta = timedelta(hours=48), started: datetime = START) -> DemoRun:
    return DemoRun(started_at=started, fleet_started_at=started - behind, speed=speed, seed=1, fault_seconds=60.0)


def clock_at(real: datetime, of: DemoRun) -> FleetClock:
    return FleetClock(lambda: real, of)


def test_the_fleets_clock_starts_in_the_past_and_runs_faster() -> None:
    own = run(speed=30.0)

    after_a_minute = clock_at(START + timedelta(minutes=1), own)

    assert after_a_minute() == START - timedelta(hours=48) + timedelta(minutes=30)
    assert after_a_minute.speed == 30.0


def test_once_it_has_caught_up_it_is_the_real_one() -> None:
    own = run(speed=25.0)  # 48 h behind: caught up after 2 h
    before, after = START + timedelta(minutes=119), START + timedelta(minutes=121)

    assert find_catch_up(own) == START + timedelta(hours=2)
    assert clock_at(before, own)() < before
    assert clock_at(after, own)() == after
    assert clock_at(after, own).speed == 1.0


@pytest.mark.parametrize("minutes", [0, 1, 10, 119, 120, 121, 10_000])
def test_it_never_goes_back_and_is_never_ahead(minutes: int) -> None:
    own, real = run(speed=25.0), START + timedelta(minutes=minutes)

    assert to_fleet_time(own, real) <= real
    assert to_fleet_time(own, real) <= to_fleet_time(own, real + timedelta(seconds=1))


def test_once_it_has_caught_up_it_runs_at_the_real_pace_while_time_goes_on() -> None:
    """The real time moves between any two readings, so that it must be read once for both clocks."""
    ticks = (START + timedelta(hours=3, microseconds=number) for number in count())

    clock = FleetClock(lambda: next(ticks), run(speed=25.0))

    assert clock.speed == 1.0
    assert clock.seconds_until(START + timedelta(hours=3, minutes=1)) == pytest.approx(60.0, abs=1.0)


def test_without_a_row_it_is_the_real_one() -> None:
    assert FleetClock(lambda: START)() == START


def test_how_long_until_a_time_of_the_fleets_is_said_in_real_seconds() -> None:
    clock = clock_at(START, run(speed=30.0))

    assert clock.seconds_until(clock() + timedelta(minutes=1)) == 2.0
    assert clock.seconds_until(clock() - timedelta(minutes=1)) == 0.0


def test_paces_follow_each_other_over_restarts_and_the_catching_up() -> None:
    first = run(speed=25.0, behind=timedelta(hours=48))
    again = run(speed=10.0, behind=timedelta(hours=9), started=START + timedelta(hours=1))  # stopped; 9 h behind
    now = START + timedelta(hours=5)

    paces = list_paces([first, again], now)

    assert [pace.speed for pace in paces] == [25.0, 10.0, 1.0]
    assert paces[0].end == again.fleet_started_at
    assert paces[1].end == START + timedelta(hours=2)
    assert paces[-1].end == now
