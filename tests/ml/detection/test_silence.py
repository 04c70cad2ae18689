from dataclasses import replace

import numpy as np
import pytest

from ml.detection.features import NEVER
from ml.detection.silence import (
    FEW_GAPS,
    KEPT_GAPS,
    MIN_GAPS,
    MIN_LIVE_MS,
    CollectorKind,
    ObservedStreams,
    QuietCollector,
    compute_patience,
    find_live_bounds,
    find_quiet_collectors,
    find_usual_gaps,
)
from ml.numerics.arrays import Floats

MINUTE = 60_000
NOW = 1_800_000_000_000
LINKS = 10  # of each network
NETWORKS = 4  # two at each hub


def gaps(*seconds: float) -> Floats:
    """Of one stream."""
    row = np.full((1, KEPT_GAPS), np.nan)
    row[0, : len(seconds)] = seconds
    return row


# ---------------------------------------------------------------- patience


def test_a_regular_stream_may_miss_three_samples() -> None:
    assert compute_patience(gaps(*[300.0] * KEPT_GAPS)).tolist() == [1050.0]
    assert compute_patience(gaps(*[10.0] * KEPT_GAPS)).tolist() == [60.0]


def test_a_young_stream_has_no_cadence() -> None:
    patience = compute_patience(np.concatenate([gaps(), gaps(*[30.0] * (MIN_GAPS - 1)), gaps(*[60.0] * MIN_GAPS)]))

    assert patience.tolist() == [np.inf, np.inf, 210.0]
    assert np.isnan(find_usual_gaps(gaps())).all()


def test_of_a_slow_stream_few_gaps_suffice_with_more_patience() -> None:
    rows = [gaps(*[300.0] * (FEW_GAPS - 1)), gaps(*[300.0] * FEW_GAPS), gaps(*[60.0] * 10), gaps(*[60.0] * 9)]

    patience = compute_patience(np.concatenate(rows)) / 60.0

    assert patience == pytest.approx([np.inf, 31.95, 4.95, np.inf], abs=0.01)


def test_one_outage_among_the_gaps_does_not_make_a_stream_patient() -> None:
    assert compute_patience(gaps(86_400.0, *[300.0] * (KEPT_GAPS - 1))).tolist() == [1050.0]


@pytest.mark.parametrize("seed", range(5))
def test_a_sender_whose_gaps_vary_tenfold_never_exceeds_its_patience(seed: int) -> None:
    rng = np.random.default_rng(seed)
    course = 60.0 * 10.0 ** rng.uniform(0, 1, 5000)
    windows = np.lib.stride_tricks.sliding_window_view(course, KEPT_GAPS)[:-1]

    assert (compute_patience(windows) > course[KEPT_GAPS:]).all()


def test_a_sender_of_random_gaps_hardly_ever_exceeds_its_patience() -> None:
    rng = np.random.default_rng(1)
    course = rng.exponential(300.0, 50_000)
    windows = np.lib.stride_tricks.sliding_window_view(course, KEPT_GAPS)[:-1]

    assert (compute_patience(windows) <= course[KEPT_GAPS:]).mean() < 1e-3


def test_a_sender_that_sends_twice_a_day_may_be_a_day_late() -> None:
    assert compute_patience(gaps(*[43_200.0] * KEPT_GAPS))[0] > 86_400


# ---------------------------------------------------------------- the present


def test_a_sample_is_of_the_present_for_a_quarter_of_an_hour_or_three_of_its_gaps() -> None:
    stream = np.array([0, 0, 0, 1, 2, 3])
    at = NOW - MINUTE * np.array([10, 5, 0, 0, 0, 0])
    last_at = np.array([NEVER, NOW - 30 * MINUTE, NOW - 600 * MINUTE, NOW + MINUTE, NEVER])

    bounds = find_live_bounds(stream, at, last_at)

    assert bounds.tolist() == [MIN_LIVE_MS, 90 * MINUTE, 360 * MINUTE, MIN_LIVE_MS, MIN_LIVE_MS]
    assert find_live_bounds(stream[:0], at[:0], last_at).tolist() == [MIN_LIVE_MS] * 5


# ---------------------------------------------------------------- collectors


def fleet() -> ObservedStreams:
    """Both directions of all links, each heard a minute ago, with a usual gap of five minutes."""
    target = np.repeat(np.arange(LINKS * NETWORKS), 2)
    network = target // LINKS
    heard_at = np.full(len(target), NOW - MINUTE)
    return ObservedStreams(
        target, network, network // 2, heard_at, np.full(len(target), 5.0 * MINUTE), np.zeros(len(target), dtype=bool)
    )


def silence(streams: ObservedStreams, which: np.ndarray, minutes: float = 30) -> ObservedStreams:
    """These streams were last heard so many minutes ago."""
    heard_at = np.where(which, NOW - round(minutes * MINUTE), streams.heard_at)
    return replace(streams, heard_at=heard_at, silent=streams.silent | which)


def told(found: list[QuietCollector]) -> list[tuple[CollectorKind, int | None, int]]:
    return [(one.kind, one.key, int(one.members.sum())) for one in found]


def test_a_network_whose_links_fall_silent_together_has_a_quiet_collector() -> None:
    streams = fleet()

    found = find_quiet_collectors(silence(streams, streams.network == 1))

    assert told(found) == [(CollectorKind.NETWORK, 1, 2 * LINKS)]
    assert found[0].share == 1.0


def test_networks_of_one_hub_have_one_collector_and_all_hubs_too() -> None:
    streams = fleet()

    of_hub = find_quiet_collectors(silence(streams, streams.hub == 1))
    of_all = find_quiet_collectors(silence(streams, streams.hub >= 0))

    assert told(of_hub) == [(CollectorKind.HUB, 1, 4 * LINKS)]
    assert told(of_all) == [(CollectorKind.ALL, None, 8 * LINKS)]


def test_a_fleet_of_one_network_is_called_by_its_name() -> None:
    streams = fleet()
    alone = replace(streams, network=np.zeros_like(streams.network), hub=np.zeros_like(streams.hub))

    assert told(find_quiet_collectors(silence(alone, alone.hub == 0))) == [(CollectorKind.NETWORK, 0, 8 * LINKS)]


def test_a_straggler_does_not_hide_a_quiet_collector() -> None:
    streams = fleet()

    found = find_quiet_collectors(silence(streams, (streams.network == 1) & (streams.target != LINKS)))

    assert told(found) == [(CollectorKind.NETWORK, 1, 2 * (LINKS - 1))]
    assert found[0].share == 0.9


def test_half_of_a_network_or_a_few_links_are_no_collector() -> None:
    streams = fleet()

    assert find_quiet_collectors(silence(streams, streams.target < LINKS // 2)) == []
    assert find_quiet_collectors(silence(streams, streams.target == 0)) == []
    assert find_quiet_collectors(streams) == []


def test_links_that_fall_silent_one_after_the_other_are_no_collector() -> None:
    streams = fleet()
    for number in range(LINKS):
        streams = silence(streams, streams.target == number, minutes=30 + 20 * number)

    assert find_quiet_collectors(streams) == []


def test_a_failed_hub_that_reports_an_uptime_of_nothing_is_no_quiet_collector() -> None:
    """Its links go on reporting; only their own site fell silent."""
    streams = fleet()

    assert find_quiet_collectors(silence(streams, streams.target == 3)) == []


def test_what_was_silent_long_before_does_not_count() -> None:
    streams = silence(fleet(), fleet().target < LINKS // 2, minutes=10_000)

    found = find_quiet_collectors(silence(streams, (streams.network == 0) & ~streams.silent))

    assert told(found) == [(CollectorKind.NETWORK, 0, LINKS)]


def test_a_slow_stream_falls_silent_with_the_fast_ones() -> None:
    streams = fleet()
    is_slow = streams.target == 0
    slow = replace(streams, usual_gap_ms=np.where(is_slow, 60.0 * MINUTE, streams.usual_gap_ms))
    silent = silence(silence(slow, (slow.network == 0) & ~is_slow), is_slow, minutes=80)

    assert told(find_quiet_collectors(silent)) == [(CollectorKind.NETWORK, 0, 2 * LINKS)]


def test_what_may_still_be_heard_in_time_speaks_neither_way() -> None:
    streams = fleet()
    waiting = streams.target == 0
    not_overdue = replace(streams, heard_at=np.where(waiting, NOW - 31 * MINUTE, streams.heard_at))

    found = find_quiet_collectors(silence(not_overdue, (streams.network == 0) & ~waiting))

    assert told(found) == [(CollectorKind.NETWORK, 0, 2 * LINKS - 2)]
    assert found[0].share == 1.0
