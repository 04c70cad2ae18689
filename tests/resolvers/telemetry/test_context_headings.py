"""MODCODs, symbol rates, beams, positions and headings are read as modems, controllers and exporters write them.

Products named here have these names in their public documents or code; none of it is copied.
"""

import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.telemetry.files.cells import parse_cells
from resolvers.telemetry.files.headings import Matched, match_headings
from resolvers.telemetry.files.messages import Job
from resolvers.telemetry.import_options import ImportOptions, build_wanted

LINK, SITE = TargetKind.LINK, TargetKind.SITE


def make_job(kind: TargetKind) -> Job:
    wanted = build_wanted(kind, ImportOptions())
    return Job(0, [*wanted.required], [*wanted.units], 1, 1, 1, units={**wanted.units})


def match(kind: TargetKind, *headings: str) -> Matched:
    keys = ["link", "direction", "at", "esnoDb"] if kind is LINK else ["site", "at", "cpuPct"]
    return match_headings({heading: heading for heading in (*keys, *headings)}, make_job(kind))


@pytest.mark.parametrize(
    ("kind", "heading", "field"),
    [
        (LINK, "MODCOD", "modcod"),
        (LINK, "ModCod", "modcod"),  # Newtec MDM and Dialog
        (LINK, "modcod_index", "modcod"),  # the Space Data Standards' RF link records
        (LINK, "MODCOD ID", "modcod"),
        (LINK, "rx_modcod", "modcod"),  # longmynd's remote for QO-100
        (LINK, "symbol_rate_ksps", "symbol_rate_ksps"),  # Conexant and TDA tuners
        (LINK, "Symbol Rate (ksps)", "symbol_rate_ksps"),  # a VSAT rate calculator
        (LINK, "Sym Rate (ksps)", "symbol_rate_ksps"),
        (LINK, "SymRate_KSps", "symbol_rate_ksps"),  # the GX1132 tuner
        (LINK, "symrate_ksps", "symbol_rate_ksps"),  # Novelsat's demodulator
        (LINK, "Symbol Rate [kBaud]", "symbol_rate_ksps"),
        (LINK, "Symbol Rate (ksym/s)", "symbol_rate_ksps"),
        (LINK, "beam", "beam"),
        (LINK, "beam id", "beam"),
        (LINK, "Beam No.", "beam"),
        (SITE, "lat", "latitude_deg"),
        (SITE, "Latitude", "latitude_deg"),
        (SITE, "Latitude (°N)", "latitude_deg"),
        (SITE, "starlink_dish_latitude_degrees", "latitude_deg"),  # Starlink exporters
        (SITE, "starlink_dish_gps_longitude", "longitude_deg"),
        (SITE, "starlink_dish_heading_degrees", "heading_deg"),
        (SITE, "ship_hdg", "heading_deg"),  # a research ship's solar tracker
        (SITE, "gps_lat", "latitude_deg"),
        (SITE, "lon", "longitude_deg"),
        (SITE, "lng", "longitude_deg"),
        (SITE, "Long", "longitude_deg"),
        (SITE, "Longitude [deg]", "longitude_deg"),
        (SITE, "heading", "heading_deg"),
        (SITE, "heading_deg", "heading_deg"),  # rovers and boats on ArduPilot
        (SITE, "Heading (degrees)", "heading_deg"),
        (SITE, "True Heading", "heading_deg"),  # NMEA's HDT
        (SITE, "hdg", "heading_deg"),
    ],
)
def test_headings_are_known(kind: TargetKind, heading: str, field: str) -> None:
    assert match(kind, heading).fields.get(heading) == field


@pytest.mark.parametrize(
    ("kind", "heading", "hint"),
    [
        (LINK, "symbol_rate", 'as it has no unit; if it is symbolRateKsps, say --map "symbol_rate=symbolRateKsps"'),
        (LINK, "Symbol Rate (Msps)", "as its unit is not that of symbolRateKsps, ksps; convert it."),
        (LINK, "Symrate (MHz)", "as its unit is not that of symbolRateKsps, ksps; convert it."),
        (SITE, "Latitude (rad)", "as its unit is not that of latitudeDeg, deg; convert it."),
    ],
)
def test_a_unit_is_not_guessed(kind: TargetKind, heading: str, hint: str) -> None:
    matched = match(kind, heading)

    assert matched.ignored == [heading]
    assert hint in matched.hints[0]


@pytest.mark.parametrize(
    "heading", ["latency (ms)", "location", "log", "longest outage (s)", "Heading error", "lat_err"]
)
def test_other_things_are_not_taken_for_a_position(heading: str) -> None:
    matched = match(SITE, heading)

    assert matched.ignored == [heading]
    assert not any("itudeDeg" in hint for hint in matched.hints)


def test_the_name_itself_counts_before_others() -> None:
    matched = match(LINK, "beam_id", "beam")

    assert matched.fields["beam"] == "beam"
    assert matched.ignored == ["beam_id"]


@pytest.mark.parametrize(("one", "other"), [("gps_lat", "site_latitude"), ("latitude", "Latitude (deg)")])
def test_where_two_may_be_meant_neither_is_read_and_the_file_is(one: str, other: str) -> None:
    matched = match(SITE, one, other)

    assert matched.ignored == [one, other]
    assert matched.fields["cpuPct"] == "cpu_pct"
    assert matched.hints == [
        f'Columns {one} and {other} are not read, as both may be latitudeDeg; say --map "{one}=latitudeDeg" (columns).'
    ]


def read(kind: TargetKind, field: str, *texts: str) -> tuple[list[float | None], list[str | None]]:
    """Returns the values, and what is wrong with those that are left out."""
    keys = {"link": "7", "direction": "OB"} if kind is LINK else {"site": "7"}
    frame = pl.DataFrame([{**keys, "at": "2026-11-30T12:00:00Z", field: text} for text in texts])
    typed = parse_cells(frame, make_job(kind)).frame
    reasons = [cells[0]["reason"] if cells else None for cells in typed["left_out"].to_list()]
    return typed[field].to_list(), reasons


def test_a_modcod_may_be_a_number_or_a_name() -> None:
    values, reasons = read(LINK, "modcod", "14", "8PSK 3/4", "e8psk34", "16APSK 26/45", "N/A", "")

    assert values == [14, 14, 14, 154, None, None]
    assert set(reasons) == {None}


@pytest.mark.parametrize("text", ["ACM", "8PSK", "QPSK 0.533", "BPSK 1/2", "QPSK-7/20"])  # iDirect's and UHP's TDMA
def test_a_modcod_of_another_system_is_left_out_by_name(text: str) -> None:
    assert read(LINK, "modcod", text) == ([None], ["must be a MODCOD of DVB-S2 or DVB-S2X, such as 14 or 8PSK 3/4"])


def test_a_beam_is_its_number() -> None:
    values, reasons = read(LINK, "beam", "12", "Beam 12", "beam-12", "B12", "Spot Beam 7", "EMEA North")

    assert values == [12, 12, 12, 12, 7, None]
    assert reasons[-1] == "must be the number of a beam, such as 12 or Beam 12"


def test_degrees_may_have_their_sign() -> None:
    values, reasons = read(SITE, "latitude_deg", "54.5", "54.5°", "54.5 deg", "-12.25 °", "54°30'N", "33.9 S")

    assert values == [54.5, 54.5, 54.5, -12.25, None, None]
    assert reasons[-2:] == ["must be a number", "must be a number"]
