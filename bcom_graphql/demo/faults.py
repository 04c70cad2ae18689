"""The demo's faults, drawn from its seed: such as an operator meets, of every cause, and told apart by the readings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.root_causes import NAMED, RootCause
from ml.catalogue.units import MINUTE_MS
from ml.root_cause.scenario import Scenario
from ml.root_cause.truths import NOTABLE_DB, compute_effect
from ml.simulation.faults import Fault
from ml.simulation.fleet import Fleet
from ml.simulation.random_faults import random_lasting_fault
from ml.simulation.telemetry import draw_characteristics

# Ranges of the duration in minutes, uniform in the logarithm.
LASTS_MINUTES: Final[dict[RootCause, tuple[float, float]]] = {
    RootCause.EQUIPMENT_FAILURE: (5.0, 180.0),
    RootCause.ANTENNA_ALIGNMENT: (30.0, 120.0),  # a drift takes its time
    RootCause.SATELLITE_INTERFERENCE: (10.0, 90.0),
    RootCause.ANTENNA_MISALIGNMENT: (10.0, 120.0),
    RootCause.RAIN_FADE: (15.0, 60.0),
    RootCause.SUN_TRANSIT: (12.0, 20.0),
    RootCause.CONGESTION: (10.0, 90.0),
    RootCause.REMOTE_EQUIPMENT: (5.0, 180.0),
    RootCause.POWER_OUTAGE: (5.0, 120.0),
    RootCause.BLOCKAGE: (20.0, 90.0),
}
MEAN_MS: Final = MINUTE_MS * float(np.mean([(high - low) / np.log(high / low) for low, high in LASTS_MINUTES.values()]))
OVERLAPS: Final = 0.15  # share of faults that begin while another goes on, where there is time enough for fewer
LEAST_REST_MS: Final = 5 * MINUTE_MS  # healthy time between two faults, on average; else they overlap as they come
NOTABLE_FALL_DB: Final = 2.0  # of Es/N0, somewhere: what an operator sees on a chart
APART_MS: Final = 20 * MINUTE_MS  # from the end of a fault to the next one on the same links
AGAIN_MS: Final = 120 * MINUTE_MS  # to the next one of the same culprit, which would be the same one come back
ATTEMPTS: Final = 40
LATER_MS: Final = 5 * MINUTE_MS  # when nothing can be told apart from what goes on


@dataclass(frozen=True)
class DrawnFault:
    """A fault and the numbers of the links that it degrades notably. number: from 0, in the order of their starts."""

    number: int
    fault: Fault
    links: frozenset[int]


def draw_next(fleet: Fleet, seed: int, earlier: Sequence[DrawnFault], begins_ms: int, every_ms: int) -> DrawnFault:
    """Returns the fault after these: the same for the same seed and beginning. It moves readings.

    earlier: the faults before, in order; those of the last six hours suffice.
    begins_ms: when this start of the demo began. every_ms: from the start of one fault to the next, on average.
    """
    number = earlier[-1].number + 1 if earlier else 0
    rng = np.random.default_rng([seed, 404, number])
    start_ms = max(begins_ms, _draw_start(rng, earlier, begins_ms, every_ms))
    while True:
        for attempt in range(ATTEMPTS):
            cause = _choose_cause(seed, number) if attempt < ATTEMPTS // 2 else None
            cause = cause or NAMED[int(rng.integers(len(NAMED)))]
            fault = random_lasting_fault(fleet, rng, start_ms, LASTS_MINUTES[cause], cause)
            links = find_affected_links(fleet, seed, fault)
            drawn = DrawnFault(number, fault, links)
            if links and not any(_is_confusable(fleet, drawn, other) for other in earlier):
                return drawn
        start_ms += LATER_MS


def _draw_start(rng: np.random.Generator, earlier: Sequence[DrawnFault], begins_ms: int, every_ms: int) -> int:
    """Returns when the next fault begins, epoch ms: on average `every_ms` after the last, and seldom during another."""
    if not earlier or earlier[-1].fault.end_ms < begins_ms - every_ms:  # the first one, or the first for a long time
        return begins_ms + every_ms // 4
    last = earlier[-1].fault
    rest_ms = (every_ms - 0.5 * OVERLAPS * MEAN_MS) / (1.0 - OVERLAPS) - MEAN_MS
    if rest_ms < LEAST_REST_MS:
        return last.start_ms + int(every_ms * rng.uniform(0.5, 1.5))
    if rng.random() < OVERLAPS:
        return last.start_ms + int((last.end_ms - last.start_ms) * rng.uniform(0.1, 0.9))
    return max(drawn.fault.end_ms for drawn in earlier) + int(rest_ms * rng.uniform(0.3, 1.7))


def _choose_cause(seed: int, number: int) -> RootCause:
    """Returns the causes in random order, each once in ten faults."""
    turn, place = divmod(number, len(NAMED))
    return NAMED[int(np.random.default_rng([seed, 405, turn]).permutation(len(NAMED))[place])]


def find_affected_links(fleet: Fleet, seed: int, fault: Fault) -> frozenset[int]:
    """Returns the numbers of the links that the fault degrades notably; none if it hardly shows on any."""
    scenario = Scenario(fleet, fault.start_ms, fault.end_ms, MINUTE_MS, (fault,), seed)
    traits = draw_characteristics(fleet, scenario.times[:1], seed)
    effect = compute_effect(fleet, fault, traits, scenario.times)
    affected = effect.find_notable(NOTABLE_DB).any(axis=0)
    fall = float(effect.fall_db[:, affected].max(initial=0.0))
    shows = fall >= NOTABLE_FALL_DB or fault.cause in (RootCause.POWER_OUTAGE, RootCause.CONGESTION)
    numbers = [link.number for link in fleet.links]
    hit = np.flatnonzero(np.logical_or(*np.split(affected, 2))).tolist()
    return frozenset(numbers[place] for place in hit) if shows else frozenset()


def _is_confusable(fleet: Fleet, drawn: DrawnFault, other: DrawnFault) -> bool:
    """Returns whether nobody could tell the two apart.

    At the same time they may share no network, hub or transponder: two networks of one hub that fail together are
    that hub's fault. Afterwards, the same links need a rest, and the same culprit a longer one.
    """
    rest = drawn.fault.start_ms - other.fault.end_ms
    if rest >= AGAIN_MS:
        return False
    if rest >= APART_MS:
        return _culprit(drawn.fault) == _culprit(other.fault)
    return not _places(fleet, drawn.links).isdisjoint(_places(fleet, other.links))


def _places(fleet: Fleet, links: frozenset[int]) -> set[object]:
    """Returns the networks, hubs and transponders of these links."""
    own = {network for link, network in zip(fleet.links, fleet.link_networks, strict=True) if link.number in links}
    transponders = {(network.satellite, network.transponder) for network in own}
    return {("network", one.number) for one in own} | {("hub", one.hub) for one in own} | transponders


def _culprit(fault: Fault) -> tuple[object, ...]:
    return fault.network, fault.site, fault.link, fault.satellite, fault.transponder
