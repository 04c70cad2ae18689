"""Files as people have them, through the public door: what is understood, what is left out, and what is said of it."""

import io
from typing import Any

import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.graphql.test_uploads import PLACE, send
from tests.helpers.support import Api, Factory, ago, iso, ms, stored

IMPORT = """mutation ($file: Upload!, $options: ImportOptions) {
  importMetrics(kind: LINK, file: $file, options: $options) { __typename
  ... on RecordedMetrics { accepted duplicates merged rejectedCount rejected { row line reason } rows
    ignoredColumns warnings leftOutCount leftOut { column count reason example }
    columns { heading field type values missing leftOut } }
  ... on InvalidInput { message path } } }"""
NOON = ago(days=1).replace(hour=12, minute=0, second=0, microsecond=0)
HEADER = "link,direction,at,esnoDb,rxLevelDbm,packetLossPct"


@pytest.fixture
async def operator(api: Api, make: Factory) -> Api:
    await make.link(number=7)
    return await api.as_(Role.OPERATOR)


async def imported(api: Api, content: str | bytes, **options: Any) -> dict[str, Any]:
    operation = {"query": IMPORT, "variables": {"file": None, "options": options or None}}
    answer = await send(api, operation, PLACE, content.encode() if isinstance(content, str) else content)
    body = answer.json()
    assert "errors" not in body, body
    result: dict[str, Any] = body["data"]["importMetrics"]
    return result


async def test_a_spreadsheet_is_understood_and_what_was_not_is_told(operator: Api, services: Services) -> None:
    rows = [f"7,ob,{iso(NOON)},12.3 dB,-45,0,fine", f"7,IB,{iso(NOON)},11.5,n/a,-,"]
    result = await imported(
        operator, "\n".join(["Link No.,Direction,Timestamp,Es/No [dB],RX level dBm,Packet Loss %,remark", *rows])
    )

    inbound, outbound = await stored(services, TargetKind.LINK)
    assert (outbound["esno_db"], outbound["rx_level_dbm"], inbound["rx_level_dbm"]) == (pytest.approx(12.3), -45, None)
    assert (result["accepted"], result["rows"], result["leftOutCount"], result["warnings"]) == (2, 2, 0, [])
    assert result["ignoredColumns"] == ["remark"]
    assert result["columns"][3:5] == [
        {"heading": "Es/No [dB]", "field": "esnoDb", "type": "text", "values": 2, "missing": 0, "leftOut": 0},
        {"heading": "RX level dBm", "field": "rxLevelDbm", "type": "text", "values": 1, "missing": 1, "leftOut": 0},
    ]


@pytest.mark.parametrize(
    ("cell", "left_out"),
    [
        ("-99", {"reason": "must be between -20 and 40 dB", "example": "-99.0"}),
        ("255", {"reason": "must be between -20 and 40 dB", "example": "255.0"}),  # nordicsemi's monitor, #365
        ("-9999", {"reason": "must be between -20 and 40 dB", "example": "-9999.0"}),  # EnviroDIY/ModularSensors#253
        ("-inf", {"reason": "must be finite", "example": "-inf"}),
        ("no lock", {"reason": "must be a number", "example": "no lock"}),
        ("N/A", None),
        ("-", None),
        ("NULL", None),
        ("#N/A", None),
        ("", None),
    ],
)
async def test_an_unusable_reading_costs_its_cell_and_not_the_outage_that_it_is_part_of(
    operator: Api, services: Services, cell: str, left_out: dict[str, str] | None
) -> None:
    result = await imported(operator, f"{HEADER}\n7,OB,{iso(NOON)},{cell},-45,100\n")

    [row] = await stored(services, TargetKind.LINK)
    assert (row["esno_db"], row["rx_level_dbm"], row["packet_loss_pct"]) == (None, -45.0, 100.0)
    assert (result["accepted"], result["rejectedCount"]) == (1, 0)
    assert result["leftOut"] == ([{"column": "esnoDb", "count": 1} | left_out] if left_out else [])


async def test_a_large_share_that_cannot_be_used_is_said_first(operator: Api) -> None:
    rows = [f'7,OB,{ms(NOON) + n},"11,{n}",-45,0' for n in range(4)] + [f"8,OB,{ms(NOON)},11,-45,0"] * 2

    result = await imported(operator, "\n".join([HEADER, *rows]))

    assert result["warnings"][:2] == [
        "2 of 6 rows were rejected.",
        "4 of 6 values of esnoDb were left out: it must be a number without a comma, unless --decimal (decimal) says"
        " that it is the decimal sign.",
    ]


async def test_a_mended_file_repairs_the_reading_that_was_not_read(operator: Api, services: Services) -> None:
    row = f"7,OB,{iso(NOON)},12.5,-45"
    first = await imported(operator, f"link,direction,at,esn0,rxLevelDbm\n{row}\n")
    again = await imported(operator, f"link,direction,at,Es/N0 (dB),rxLevelDbm\n{row}\n")

    assert first["ignoredColumns"] == ["esn0"]
    assert first["warnings"] == [
        'Column esn0 is not read, as it has no unit; if it is esnoDb, say --map "esn0=esnoDb" (columns).'
    ]
    assert (again["accepted"], again["duplicates"], again["merged"]) == (0, 1, 1)
    assert [row["esno_db"] for row in await stored(services, TargetKind.LINK)] == [12.5]


async def test_options_say_what_a_file_does_not(operator: Api, services: Services) -> None:
    local = f"{NOON:%Y-%m-%d} 12:00:00"

    result = await imported(
        operator,
        f"Strecke;Richtung;Zeit;Rauschabstand\n7;OB;{local};11,5\n",
        columns=[
            {"heading": "Strecke", "field": "link"},
            {"heading": "Richtung", "field": "direction"},
            {"heading": "Zeit", "field": "at"},
            {"heading": "Rauschabstand", "field": "esnoDb"},
        ],
        decimal=",",
        timeZone="UTC",
    )

    [row] = await stored(services, TargetKind.LINK)
    assert (row["at"], row["esno_db"]) == (NOON, 11.5)
    assert "Times without an offset are those of UTC." in result["warnings"]


@pytest.mark.parametrize(
    ("options", "message", "path"),
    [
        ({"decimal": ";"}, "The decimal sign is . or a comma.", ["options", "decimal"]),
        ({"timeZone": "Berlin"}, "The time zone must be one of the Time Zone Database", ["options", "timeZone"]),
        ({"columns": [{"heading": "a", "field": "snr"}]}, "There is no snr; it must be one of link, at,", None),
        ({"columns": [{"heading": h, "field": "esnoDb"} for h in "ab"]}, "Two columns are mapped to esnoDb;", None),
        ({"columns": [{"heading": "a", "field": f} for f in ("at", "esnoDb")]}, "The column a is mapped twice.", None),
    ],
)
async def test_options_that_mean_nothing_are_refused(
    operator: Api, options: dict[str, Any], message: str, path: list[str] | None
) -> None:
    result = await imported(operator, HEADER + "\n", **options)

    assert result["__typename"] == "InvalidInput"
    assert result["message"].startswith(message)
    assert result["path"] == (path or ["options", "columns"])


async def test_epochs_are_read_by_their_size_and_it_is_said(operator: Api, services: Services) -> None:
    seconds = ms(NOON) // 1000

    result = await imported(operator, f"{HEADER}\n7,OB,{seconds},12,-45,0\n7,IB,{seconds * 10**9},12,-45,0\n")

    assert [row["at"] for row in await stored(services, TargetKind.LINK)] == [NOON, NOON]
    assert result["warnings"] == ["Times are read as epoch nanoseconds and epoch seconds, by their size."]


async def test_a_named_unit_is_not_guessed(operator: Api) -> None:
    result = await imported(operator, f"{HEADER}\n7,OB,{ms(NOON)},12,-45,0\n", timeUnit="NANOSECONDS")

    [entry] = result["rejected"]
    assert entry["reason"].startswith("The time is longer ago than samples are kept")
    assert result["warnings"] == ["1 of 1 rows were rejected."]


async def test_what_is_wrong_names_column_value_and_line(operator: Api) -> None:
    rows = [f"7,OB,{iso(NOON)},12,-45,0", f"7.5,OB,{iso(NOON)},12,-45,0", f"7,OB,{NOON:%Y-%m-%dT%H:%M:%S},12,-45,0"]
    rows += ["7,OB,46000.5,12,-45,0", f"7,up,{iso(NOON)},12,-45,0"]

    result = await imported(operator, "\n".join([HEADER, *rows]))

    assert [(entry["line"], entry["reason"].rsplit(", and is ")[-1]) for entry in result["rejected"]] == [
        (3, "7.5."),
        (4, f"{NOON:%Y-%m-%dT%H:%M:%S}."),
        (5, "46000.5."),
        (6, "up."),
    ]
    assert [entry["reason"].split()[0] for entry in result["rejected"]] == ["link", "at", "at", "direction"]


async def test_a_dry_run_says_the_same_and_records_nothing(operator: Api, services: Services) -> None:
    content = f"{HEADER},note\n7,OB,{iso(NOON)},-99,-45,0,\n8,OB,{iso(NOON)},12,-45,0,\n"

    dry = await imported(operator, content, dryRun=True)
    nothing = await stored(services, TargetKind.LINK)
    real = await imported(operator, content)

    told = ("rows", "rejectedCount", "rejected", "leftOut", "ignoredColumns", "warnings", "columns")
    assert nothing == []
    assert (dry["accepted"], real["accepted"]) == (0, 1)
    assert {name: dry[name] for name in told} == {name: real[name] for name in told}
    assert dry["rejected"] == [{"row": 1, "line": 3, "reason": "There is no link with the number 8."}]


async def test_a_truth_value_is_no_link(operator: Api, services: Services) -> None:
    content = io.BytesIO()
    frame = pl.DataFrame({"link": [True], "direction": ["OB"], "at": [NOON], "esnoDb": [12.0]})
    frame.write_parquet(content)

    result = await imported(operator, content.getvalue())

    assert result["message"] == (
        "samples.csv cannot be used, as its column link must hold numbers, and holds truth values."
    )
    assert await stored(services, TargetKind.LINK) == []


async def test_samples_without_a_file_have_nothing_to_tell_of_columns(operator: Api) -> None:
    data = await operator.run(
        """mutation ($at: DateTime!) { recordLinkMetrics(samples: [{ link: 7, direction: OB, at: $at, esnoDb: 12 }]) {
          ... on RecordedMetrics { rows ignoredColumns warnings columns { heading } } } }""",
        at=iso(NOON),
    )

    assert data["recordLinkMetrics"] == {"rows": 1, "ignoredColumns": [], "warnings": [], "columns": []}
