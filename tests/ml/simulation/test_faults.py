"""Every cause shows as the domain notes' table of signatures says, without any noise."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import NAMED, RootCause
from ml.numerics.arrays import Floats
from ml.simulation.effects import POINTING_UP_TO_DOWN, rain_noise
from ml.simulation.faults import FAULT_MODELS, Fault, Variant, compute_impairments
from ml.simulation.fleet import demo_fleet
from ml.simulation.impairments import Impairments
from ml.simulation.link_budget import Budget, compute_reception

IB, OB = Direction.IB, Direction.OB
FLEET = demo_fleet(seed=2, remotes=24)
LINKS = len(FLEET.links)
START = 1_767_225_600_000
MINUTE = 60_000
HOUR = 60 * MINUTE
TIMES = START + MINUTE * np.arange(360)
BUDGET = Budget.draw(np.random.default_rng(5), LINKS)
BUDGETS = Budget(np.full(2 * LINKS, 12.5), BUDGET.uplink, BUDGET.receiver, BUDGET.interference)
# Everything below is measured against these: a Ku-band vessel, a Ka-band branch and a C-band platform.
VESSEL, BRANCH, PLATFORM = (FLEET.links[place] for place in (2, 1, 3))
SOMETHING = 0.3  # dB


@dataclass(frozen=True)
class Shown:
    """Changes (times, 2 x links) in dB."""

    hit: Impairments
    esno: Floats
    level: Floats
    lock: Floats

    def of(self, values: Floats, link: int, direction: Direction) -> Floats:
        place = [one.number for one in FLEET.links].index(link)
        return values[:, place + (LINKS if direction is OB else 0)]

    @property
    def struck(self) -> set[tuple[int, Direction]]:
        ways = [(link.number, direction) for direction in (IB, OB) for link in FLEET.links]
        return {way for way, struck in zip(ways, (self.esno < -SOMETHING).any(axis=0), strict=True) if struck}

    @property
    def excess(self) -> Floats:
        """Noise excess at the worst moment of each direction that is struck."""
        worst = self.esno.argmin(axis=0), np.arange(2 * LINKS)
        return (self.esno - self.level)[worst][(self.esno < -SOMETHING).any(axis=0)]


def shown(cause: RootCause, strength: float, minutes: int = 240, **culprit: object) -> Shown:
    fault = Fault(cause, START, START + minutes * MINUTE, strength, **culprit)  # type: ignore[arg-type]
    hit = compute_impairments(FLEET, [fault], TIMES)
    radio = compute_reception(BUDGETS, hit, np.zeros_like(hit.uplink))
    return Shown(hit, radio.esno - BUDGETS.esno, radio.level, radio.lock)


def ways(links: list[int], *directions: Direction) -> set[tuple[int, Direction]]:
    return {(link, direction) for link in links for direction in directions}


def links_of(*networks: int) -> list[int]:
    return [link.number for link in FLEET.links if link.network in networks]


def test_every_cause_of_the_catalogue_has_a_signature() -> None:
    assert set(FAULT_MODELS) == set(NAMED)


def test_no_fault_leaves_a_budget_as_it_is() -> None:
    none = Impairments.none(3, LINKS)

    radio = compute_reception(BUDGET, none, np.zeros((3, 2 * LINKS)))

    assert np.allclose(radio.esno, BUDGET.esno)
    assert np.allclose(radio.level, 0.0)
    assert radio.lock.min() > 0.99


# ---------------------------------------------------------------- the hub


@pytest.mark.parametrize("variant", [Variant.TRANSMITTER, Variant.WAVEGUIDE])
def test_a_weak_hub_transmitter_takes_es_n0_and_level_of_its_network_outbound(variant: Variant) -> None:
    seen = shown(RootCause.EQUIPMENT_FAILURE, 0.5, network=101, variant=variant)

    assert seen.struck == ways(links_of(101), OB)
    assert np.all(np.abs(seen.excess) < 0.8)
    assert (seen.hit.power.min() < 0.0) == (variant is Variant.TRANSMITTER)


def test_a_dead_hub_transmitter_silences_the_remotes_as_well() -> None:
    seen = shown(RootCause.EQUIPMENT_FAILURE, 0.9, network=101, variant=Variant.OFF)

    assert seen.struck == ways(links_of(101), IB, OB)
    assert seen.of(seen.lock, links_of(101)[0], IB)[0] < 0.05


def test_a_hubs_low_noise_amplifier_takes_both_inbound_only() -> None:
    seen = shown(RootCause.EQUIPMENT_FAILURE, 0.6, network=101, direction=IB)

    assert seen.struck == ways(links_of(101), IB)
    assert np.all(np.abs(seen.excess) < 1.2)


def test_a_demodulator_takes_es_n0_alone() -> None:
    seen = shown(RootCause.EQUIPMENT_FAILURE, 0.6, network=101, variant=Variant.DEMODULATOR)

    assert seen.struck == ways(links_of(101), IB)
    assert np.allclose(seen.excess, -6.0, atol=0.1)
    assert np.allclose(seen.level, 0.0)


def test_a_hub_antenna_drifts_away_from_every_network_of_the_hub() -> None:
    seen = shown(RootCause.ANTENNA_ALIGNMENT, 0.9, site=1)

    assert seen.struck == ways(links_of(101, 102), IB, OB)
    slow = seen.of(seen.esno, links_of(101)[0], OB)[:120]
    assert np.all(np.diff(slow) <= 0.0)
    assert -0.5 < slow[30] < 0.0


def test_without_tracking_a_hub_antenna_loses_and_finds_the_satellite() -> None:
    seen = shown(RootCause.ANTENNA_ALIGNMENT, 0.9, minutes=1440, site=1, variant=Variant.WAVES)

    wave = seen.of(seen.esno, links_of(101)[0], OB)
    assert wave[0] == pytest.approx(0.0, abs=0.05)
    assert wave.argmin() == len(TIMES) - 1  # 6 of 12 hours


# ---------------------------------------------------------------- the remote


@pytest.mark.parametrize("link", [VESSEL, BRANCH, PLATFORM], ids=["KU", "KA", "C"])
@given(strength=st.floats(0.1, 0.8))
def test_a_remote_beside_the_satellite_loses_both_ways_in_the_ratio_of_its_beams(link: object, strength: float) -> None:
    number, band = link.number, FLEET.network_of[link.network].band  # type: ignore[attr-defined]

    seen = shown(RootCause.ANTENNA_MISALIGNMENT, strength, link=number)

    sent, heard = seen.of(seen.hit.uplink, number, IB), seen.of(seen.hit.downlink, number, OB)
    assert np.allclose(sent[:240] / heard[:240], POINTING_UP_TO_DOWN[band])
    assert seen.struck <= ways([number], IB, OB)
    assert np.all(np.abs(seen.excess) < 1.5)


def test_the_ratio_of_beams_is_as_the_domain_has_it() -> None:
    ratios = [POINTING_UP_TO_DOWN[band] for band in ("KU", "KA", "C")]

    assert ratios == pytest.approx([1.48, 2.2, 2.4], abs=0.05)


def test_a_failing_transmitter_of_a_remote_shows_inbound_and_in_its_power() -> None:
    seen = shown(RootCause.REMOTE_EQUIPMENT, 0.5, link=VESSEL.number, variant=Variant.BUC)

    assert seen.struck == ways([VESSEL.number], IB)
    assert seen.of(seen.hit.power, VESSEL.number, IB).min() == pytest.approx(-5.0)


def test_a_failing_receiver_of_a_remote_shows_outbound() -> None:
    seen = shown(RootCause.REMOTE_EQUIPMENT, 0.5, link=VESSEL.number, variant=Variant.LNB)

    assert seen.struck == ways([VESSEL.number], OB)
    assert np.all(np.abs(seen.excess) < 1.0)
    assert not seen.hit.power.any()


def test_a_blocked_vessel_vanishes_and_returns_several_times() -> None:
    seen = shown(RootCause.BLOCKAGE, 0.1, site=VESSEL.site)

    assert seen.struck == ways([VESSEL.number], IB, OB)
    behind = seen.of(seen.esno, VESSEL.number, OB)[:240] < -8.0
    assert set(np.unique(seen.of(seen.hit.downlink, VESSEL.number, OB)).tolist()) == {-12.45, 0.0}
    assert (np.diff(behind.astype(int)) == 1).sum() + int(behind[0]) >= 3


@pytest.mark.parametrize("variant", [Variant.REPORTED, Variant.SILENCE])
def test_an_outage_takes_one_site_without_a_warning_of_the_radio(variant: Variant) -> None:
    seen = shown(RootCause.POWER_OUTAGE, 1.0, site=VESSEL.site, variant=variant)

    assert not seen.struck
    outage = seen.hit.unreported if variant is Variant.SILENCE else seen.hit.outage
    assert set(np.flatnonzero(outage.any(axis=0)).tolist()) == {2, 2 + LINKS}


# ---------------------------------------------------------------- the sky


def test_rain_over_a_remote_takes_more_of_es_n0_than_of_the_level_where_it_is_received() -> None:
    seen = shown(RootCause.RAIN_FADE, 0.7, site=VESSEL.site)

    assert seen.struck == ways([VESSEL.number], IB, OB)
    worst = seen.of(seen.esno, VESSEL.number, OB).argmin()
    assert seen.of(seen.esno - seen.level, VESSEL.number, OB)[worst] < -1.0
    assert seen.of(seen.hit.power, VESSEL.number, IB).max() == pytest.approx(3.0)


def test_rain_over_a_hub_takes_all_its_links_the_other_way_round() -> None:
    seen = shown(RootCause.RAIN_FADE, 0.7, site=1)

    assert {link for link, _ in seen.struck} == set(links_of(101, 102))
    inbound = seen.of(seen.esno - seen.level, links_of(101)[0], IB)
    assert inbound.min() < -0.5
    assert seen.of(seen.hit.power, links_of(101)[0], OB).max() == pytest.approx(5.0)
    assert not seen.hit.power[:, :LINKS].any()


def test_c_band_does_not_mind_rain() -> None:
    assert not shown(RootCause.RAIN_FADE, 0.5, site=PLATFORM.site).struck & ways([PLATFORM.number], IB)


@given(st.floats(0.0, 40.0))
def test_rain_adds_less_noise_than_a_sky_full_of_it(attenuation: float) -> None:
    assert 0.0 <= float(rain_noise(np.array(attenuation))) <= 275.0 / 150.0


def test_rain_travels_over_neighbours() -> None:
    near = shown(RootCause.RAIN_FADE, 0.7, site=VESSEL.site, radius_km=400.0)
    travelling = shown(RootCause.RAIN_FADE, 0.7, site=VESSEL.site, radius_km=400.0, irregularity=7)

    assert len({link for link, _ in near.struck}) > 1
    assert not np.allclose(near.hit.downlink, travelling.hit.downlink)


@pytest.mark.parametrize("direction", Direction)
def test_interference_crosses_hubs_on_one_transponder(direction: Direction) -> None:
    seen = shown(
        RootCause.SATELLITE_INTERFERENCE, 0.6, satellite="Meridian 2", transponder="KU-07", direction=direction
    )

    assert seen.struck == ways(links_of(101, 103), direction)
    assert seen.level.min() > -1e-6
    assert seen.esno.min() > -7.0
    one = seen.of(seen.esno, VESSEL.number, direction)[:240]
    assert (one < -1.0).any()
    assert (one == 0.0).any()


def test_the_sun_blinds_a_hubs_receivers_for_minutes_at_the_same_time_each_day() -> None:
    fault = Fault(RootCause.SUN_TRANSIT, START, START + 12 * MINUTE + 24 * HOUR, 0.5, site=1, direction=IB)
    times = START + MINUTE * np.arange(2 * 1440)

    hit = compute_impairments(FLEET, [fault], times)
    radio = compute_reception(BUDGETS, hit, np.zeros_like(hit.uplink))

    esno = (radio.esno - BUDGETS.esno)[:, 0]
    assert set(np.flatnonzero(esno < -1.0).tolist()) <= set(range(12)) | set(range(1440, 1452))
    assert -10.0 < esno.min() < -5.0
    assert np.allclose(esno[:12], esno[1440:1452])
    assert radio.level.min() > -1e-6
    assert radio.level.max() > 0.3
    assert not (radio.esno - BUDGETS.esno)[:, LINKS:].any()


def test_the_sun_finds_remotes_by_geography() -> None:
    seen = shown(RootCause.SUN_TRANSIT, 0.8, minutes=20, site=VESSEL.site, satellite="Meridian 2", direction=OB)

    assert (VESSEL.number, OB) in seen.struck
    assert {direction for _, direction in seen.struck} == {OB}
    assert {link for link, _ in seen.struck} < set(links_of(101, 102, 103))
    assert seen.level.min() > -0.01


@pytest.mark.parametrize("direction", [IB, OB, None])
def test_congestion_is_no_matter_of_the_radio(direction: Direction | None) -> None:
    seen = shown(RootCause.CONGESTION, 0.5, network=103, direction=direction)

    assert not seen.struck
    busy = np.flatnonzero(seen.hit.load.any(axis=0))
    own = [place for place, link in enumerate(FLEET.links) if link.network == 103]
    expected = {IB: own, OB: [LINKS + place for place in own], None: own + [LINKS + place for place in own]}
    assert busy.tolist() == expected[direction]


# ---------------------------------------------------------------- all


@given(
    cause=st.sampled_from(NAMED),
    whim=st.integers(0, 2**31),
    first=st.integers(0, 300),
    strength=st.floats(0.0, 1.0),
)
def test_what_a_fault_does_at_a_time_does_not_depend_on_the_times_asked(
    cause: RootCause, whim: int, first: int, strength: float
) -> None:
    culprit = {"site": VESSEL.site} if cause is RootCause.RAIN_FADE else {"network": 103}
    fault = Fault(cause, START, START + 5 * HOUR, strength, irregularity=whim, **culprit)  # type: ignore[arg-type]

    whole, part = compute_impairments(FLEET, [fault], TIMES), compute_impairments(FLEET, [fault], TIMES[first::7])

    for name, values in vars(whole).items():
        assert np.allclose(values[first::7], getattr(part, name)), name
    assert not whole.uplink[300:].any()
