"""What MODCODs, beams and headings say of a pattern, on arrays."""

from dataclasses import replace

import numpy as np
import pytest

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.root_cause.context import (
    Adaptation,
    DirectionSamples,
    compare,
    explain_adaptation,
    explain_beams,
    explain_heading,
)
from ml.root_cause.report import Culprit, Pattern

MINUTE = 60_000
BEGAN = 60
AT = np.arange(120) * MINUTE
QPSK_34, PSK8_34, APSK16_34 = 7, 14, 19
PATTERN = Pattern(
    cause=RootCause.RAIN_FADE,
    culprit=Culprit(CulpritKind.SITE, 0, 1, "Hub"),
    description="",
    severity=0.5,
    confidence=0.9,
    started_ms=BEGAN * MINUTE,
    ended_ms=None,
    links=(1,),
    directions=(Direction.OB,),
    evidence=(),
    hypotheses=(),
)


def samples(esno: tuple[float, float], modcod: tuple[float, float], of: Direction = Direction.OB) -> DirectionSamples:
    """Of two hours, the pattern in the second."""
    is_during = AT >= BEGAN * MINUTE
    return DirectionSamples(of, AT, np.where(is_during, esno[1], esno[0]), np.where(is_during, modcod[1], modcod[0]))


ADAPTING = samples((12.0, 6.0), (APSK16_34, QPSK_34))
STUCK = samples((12.0, 6.0), (APSK16_34, APSK16_34))
NEEDLESS = samples((12.0, 12.1), (APSK16_34, QPSK_34))


@pytest.mark.parametrize(
    ("given", "adaptation"),
    [
        (ADAPTING, Adaptation.FOLLOWED),
        (STUCK, Adaptation.STUCK),
        (NEEDLESS, Adaptation.NEEDLESS),
        (samples((14.0, 12.0), (PSK8_34, PSK8_34)), None),  # 8PSK 3/4 needs 7.9 dB only
        (samples((12.0, 12.1), (APSK16_34, APSK16_34)), None),
        (samples((12.0, 6.0), (APSK16_34, APSK16_34), Direction.IB), None),  # a number of whatever system
        (samples((12.0, 6.0), (APSK16_34, QPSK_34), Direction.IB), Adaptation.FOLLOWED),
    ],
)
def test_a_modem_follows_keeps_or_gives_up_what_it_need_not(
    given: DirectionSamples, adaptation: Adaptation | None
) -> None:
    compared = compare(given, PATTERN)

    assert compared is not None
    assert compared.adaptation is adaptation


@pytest.mark.parametrize(
    "given",
    [
        samples((12.0, 6.0), (np.nan, np.nan)),
        samples((12.0, 6.0), (np.nan, QPSK_34)),
        samples((np.nan, np.nan), (APSK16_34, QPSK_34)),
        samples((12.0, 6.0), (40, 35)),  # of another system
    ],
)
def test_who_does_not_tell_says_nothing(given: DirectionSamples) -> None:
    assert compare(given, PATTERN) is None
    assert explain_adaptation([given], PATTERN) is None


def test_a_modcod_that_follows_speaks_for_the_channel_and_against_congestion() -> None:
    rain = explain_adaptation([ADAPTING], PATTERN)
    congestion = explain_adaptation([ADAPTING], replace(PATTERN, cause=RootCause.CONGESTION))

    assert rain is not None
    assert congestion is not None
    assert (rain.supports, congestion.supports) == (True, False)
    assert rain.statement == (
        "1 of 1 link directions stepped their MODCOD down as Es/N0 fell (16APSK 3/4 to QPSK 3/4): the loss is real."
    )


def test_a_modcod_that_stays_beside_a_fall_speaks_against_it() -> None:
    said = explain_adaptation([STUCK, STUCK], PATTERN)

    assert said is not None
    assert not said.supports
    assert "16APSK 3/4, which needs 10.2 dB) while Es/N0 fell to 6.0 dB" in said.statement


def test_a_needless_step_speaks_for_the_modem() -> None:
    remote = explain_adaptation([NEEDLESS], replace(PATTERN, cause=RootCause.REMOTE_EQUIPMENT))
    rain = explain_adaptation([NEEDLESS], PATTERN)

    assert remote is not None
    assert rain is not None
    assert (remote.supports, rain.supports) == (True, False)


def test_where_modems_disagree_nothing_is_said() -> None:
    steady = samples((12.0, 12.0), (APSK16_34, APSK16_34))

    assert explain_adaptation([ADAPTING, steady, steady], PATTERN) is None


# ---------------------------------------------------------------- beams


def test_one_beam_that_fails_alone_speaks_for_the_satellite() -> None:
    beams = ["A"] * 4 + ["B"] * 6 + [None]
    hit = np.array([True] * 4 + [False] * 7)
    satellite = replace(PATTERN, culprit=Culprit(CulpritKind.SATELLITE, 0, 1, "Astra"))

    of_site, of_satellite = explain_beams(beams, hit, PATTERN), explain_beams(beams, hit, satellite)

    assert of_site is not None
    assert of_satellite is not None
    assert (of_site.supports, of_satellite.supports) == (False, True)
    assert of_site.statement == "All 4 links hit are in beam A, and none of the 6 links in other beams is hit."


@pytest.mark.parametrize(
    "beams",
    [
        [None] * 10,
        ["A"] * 10,  # no others
        ["A", "A", "B", "B", *["C"] * 6],  # two are hit
        ["A", None, None, None, *["B"] * 6],  # one link is no beam
    ],
)
def test_other_beams_say_nothing(beams: list[str | None]) -> None:
    assert explain_beams(beams, np.array([True] * 4 + [False] * 6), PATTERN) is None


# ---------------------------------------------------------------- headings


def test_losses_at_one_heading_speak_for_blockage() -> None:
    heading = np.tile(np.arange(0.0, 360.0, 10.0), 4)
    is_lost = (heading >= 340.0) | (heading <= 20.0)

    blockage = explain_heading(is_lost, heading, replace(PATTERN, cause=RootCause.BLOCKAGE))
    rain = explain_heading(is_lost, heading, PATTERN)

    assert blockage is not None
    assert rain is not None
    assert (blockage.supports, rain.supports) == (True, False)
    assert blockage.statement.startswith("100% of the losses are at headings around 0 degrees, and 13%")


def test_losses_at_every_heading_or_on_one_course_say_nothing() -> None:
    heading = np.tile(np.arange(0.0, 360.0, 10.0), 4)
    straight = np.full(144, 90.0)

    assert explain_heading(np.arange(144) % 5 == 0, heading, PATTERN) is None
    assert explain_heading(np.arange(144) % 5 == 0, straight, PATTERN) is None
    assert explain_heading(np.arange(144) % 5 == 0, np.full(144, np.nan), PATTERN) is None
