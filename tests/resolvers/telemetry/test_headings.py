"""Which heading is which of our columns: whoever writes one as people do is understood, and nobody is guessed at."""

import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.telemetry.files.headings import Matched, Unsuitable, match_headings
from resolvers.telemetry.files.messages import Job
from resolvers.telemetry.import_options import ImportOptions, build_wanted

KEYS = ["link", "direction", "at"]


def match(*headings: str, kind: TargetKind = TargetKind.LINK, columns: dict[str, str] | None = None) -> Matched:
    wanted = build_wanted(kind, ImportOptions())
    job = Job(0, [*wanted.required], [*wanted.units], 1, 1, 1, units={**wanted.units}, columns=columns or {})
    return match_headings({f"{number}": heading for number, heading in enumerate(headings)}, job)


def fields(*headings: str, kind: TargetKind = TargetKind.LINK) -> dict[str, str]:
    """Our names by the file's headings."""
    return {headings[int(number)]: field for number, field in match(*headings, kind=kind).fields.items()}


@pytest.mark.parametrize(
    "heading",
    [
        "esnoDb",
        "esno_db",
        "esnoDB",
        "ESNO_DB",
        "EsNo dB",
        "Es/No [dB]",
        "Es/N0 (dB)",
        "Es/N0 [ dB ]",
        " es-no-db ",
        "esno_dB",
        "\ufeffesnoDb",
        "Es/N0 dB",
        "EsNoDb [dB]",
        "Es∕N0 (db)",
    ],
)
def test_case_blanks_signs_and_spellings_of_units_do_not_matter(heading: str) -> None:
    assert fields(*KEYS, heading)[heading] == "esno_db"


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("RX level dBm", "rx_level_dbm"),
        ("Rx Level (dBm)", "rx_level_dbm"),
        ("TX-Power [dBm]", "tx_power_dbm"),
        ("Packet Loss %", "packet_loss_pct"),
        ("packet loss (percent)", "packet_loss_pct"),
        ("Throughput [Mbit/s]", "throughput_mbps"),
        ("throughput (Mb/s)", "throughput_mbps"),
        ("Latency (ms)", "latency_ms"),
        ("Errors", "errors"),
        ("Discards (count)", "discards"),
    ],
)
def test_metrics_are_known_by_their_name_and_unit(heading: str, field: str) -> None:
    assert fields(*KEYS, heading)[heading] == field


@pytest.mark.parametrize("link", ["link", "Link", "Link #", "Link No.", "link_number", "linkNumber", "Link Nr."])
@pytest.mark.parametrize("at", ["at", "At", "time", "Timestamp", "_time", "Date/Time", "timestamp [ms]", "Time (UTC)"])
def test_keys_are_known_by_the_names_that_people_give_them(link: str, at: str) -> None:
    assert fields(link, "Direction", at, "esnoDb") == {
        link: "link",
        "Direction": "direction",
        at: "at",
        "esnoDb": "esno_db",
    }


def test_a_column_named_at_is_the_time_whatever_else_is_one() -> None:
    matched = match("link", "direction", "timestamp", "at", "esnoDb")

    assert matched.fields["3"] == "at"
    assert matched.ignored == ["timestamp"]


@pytest.mark.parametrize(
    ("heading", "hint"),
    [
        ("esn0", 'as it has no unit; if it is esnoDb, say --map "esn0=esnoDb" (columns).'),
        ("latency", 'as it has no unit; if it is latencyMs, say --map "latency=latencyMs" (columns).'),
        ("Throughput [kbps]", "as its unit is not that of throughputMbps, Mbit/s; convert it."),
        ("throughput_kbps", "as its unit is not that of throughputMbps, Mbit/s; convert it."),
        ("TX power (dBW)", "as its unit is not that of txPowerDbm, dBm; convert it."),
        ("uptime (s)", "as its unit is not that of uptimePct, %; convert it."),
    ],
)
def test_a_unit_is_never_guessed(heading: str, hint: str) -> None:
    matched = match(*KEYS, "grade", heading)

    assert heading not in matched.fields
    assert matched.ignored == [heading]
    assert matched.hints == [f"Column {heading} is not read, {hint}"]


@pytest.mark.parametrize(
    ("heading", "ours"),
    [("esndb", "esnoDb"), ("rxLevel_dbn", "rxLevelDbm"), ("through_put_mbps", None), ("jiter_ms", "jitterMs")],
)
def test_near_misses_are_named(heading: str, ours: str | None) -> None:
    matched = match(*KEYS, "grade", heading)

    hint = f'Column {heading} is not read; did you mean {ours}? Then say --map "{heading}={ours}" (columns).'
    assert matched.hints == ([hint] if ours else [])
    assert (heading in matched.ignored) == (ours is not None)


def test_what_is_nothing_like_ours_is_ignored_without_a_hint() -> None:
    matched = match(*KEYS, "esnoDb", "remark", "Eb/N0 [dB]", "station name", "")

    assert matched.ignored == ["remark", "Eb/N0 [dB]", "station name", ""]
    assert matched.hints == []


@pytest.mark.parametrize(
    ("headings", "why"),
    [
        ([*KEYS, "esnoDb", "esnoDb"], "has the column esnoDb twice; leave one out."),
        ([*KEYS, "link", "esnoDb"], "has the column link twice; leave one out."),
        (
            [*KEYS, "esnoDb", "Es/No [dB]"],
            'has two columns for esnoDb, esnoDb and Es/No [dB]; leave one out, or say --map "esnoDb=esnoDb" (columns).',
        ),
        (
            ["link", "direction", "time", "timestamp", "esnoDb"],
            'has two columns for at, time and timestamp; leave one out, or say --map "time=at" (columns).',
        ),
    ],
)
def test_a_column_that_is_there_twice_is_refused_with_both(headings: list[str], why: str) -> None:
    with pytest.raises(Unsuitable) as refused:
        match(*headings)

    assert str(refused.value) == why


def test_headings_in_another_language_are_told_what_is_expected_and_how_to_say_it() -> None:
    with pytest.raises(Unsuitable) as refused:
        match("Strecke", "Richtung", "Zeitpunkt", "Rauschabstand")

    assert str(refused.value) == (
        "lacks the column link, at, direction; it has Strecke, Richtung, Zeitpunkt, Rauschabstand."
        " A file needs link, at, direction, and any of throughputMbps, utilizationPct, errors, discards, uptimePct,"
        " esnoDb, rxLevelDbm, txPowerDbm, latencyMs, jitterMs, packetLossPct, grade, modcod,"
        " symbolRateKsps, beam."
        ' If they have other names, say which is which: --map "your name=link" (columns).'
    )


# ---------------------------------------------------------------- mapped


GERMAN = ("Strecke", "Richtung", "Zeitpunkt", "Rauschabstand")
MAPPED = {"Strecke": "link", "richtung": "direction", "Zeitpunkt": "AT", "Rauschabstand": "esno_db"}


def test_a_mapping_says_which_is_which() -> None:
    assert match(*GERMAN, columns=MAPPED).fields == {"0": "link", "1": "direction", "2": "at", "3": "esno_db"}


def test_a_mapped_column_is_taken_whatever_others_are_called() -> None:
    matched = match(*KEYS, "esnoDb", "Es/No [dB]", columns={"Es/No [dB]": "esnoDb"})

    assert matched.fields["4"] == "esno_db"
    assert matched.ignored == ["esnoDb"]


@pytest.mark.parametrize(
    ("headings", "why"),
    [
        ([*KEYS, "esnoDb"], "has no column Es/No; it has link, direction, at, esnoDb."),
        ([*KEYS, "Es/No", "Es/No"], "has the column Es/No twice; which is esnoDb, cannot be told."),
    ],
)
def test_a_mapping_of_what_is_not_there_once_is_refused(headings: list[str], why: str) -> None:
    with pytest.raises(Unsuitable) as refused:
        match(*headings, columns={"Es/No": "esnoDb"})

    assert str(refused.value) == why


def test_networks_and_sites_have_columns_of_their_own() -> None:
    network = fields("Network No", "time", "Error rate", "Connections", kind=TargetKind.NETWORK)
    site = fields("SITE", "at", "CPU [%]", "Request count", kind=TargetKind.SITE)

    assert [*network.values()] == ["network", "at", "error_rate", "connections"]
    assert [*site.values()] == ["site", "at", "cpu_pct", "request_count"]
