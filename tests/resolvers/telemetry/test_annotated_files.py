"""InfluxDB's annotated CSV becomes rows with our columns."""

import io
from typing import Any

import pytest

from resolvers.telemetry.files.annotated import AnnotatedFile
from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.tabular import open_table

ANNOTATIONS = """#group,false,false,true,true,false,false,true,true,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string,string
#default,_result,,,,,,,,,OB
"""
HEADING = ",result,table,_start,_stop,_time,_value,_field,_measurement,link,direction\n"


def table(name: str, values: list[tuple[str, str, str, str]], number: int = 0) -> str:
    """A field of one measurement: link, direction, time, value."""
    rows = [f",,{number},s,e,{at},{value},{name},m,{link},{way}\n" for link, way, at, value in values]
    return ANNOTATIONS + HEADING + "".join(rows)


ESNO = [("7", "OB", "T1", "12.5"), ("7", "OB", "T2", "12.6"), ("8", "", "T1", "11")]
LEVEL = [("7", "OB", "T1", "-45"), ("7", "OB", "T2", "-46"), ("7", "IB", "T1", "-50")]
BOTH = table("esnoDb", ESNO) + "\n" + table("rxLevelDbm", LEVEL, 1) + "\n"
ROWS = [
    ("7", "OB", "T1", "12.5", "-45"),
    ("7", "OB", "T2", "12.6", "-46"),
    ("8", "OB", "T1", "11", None),
    ("7", "IB", "T1", None, "-50"),
]
COLUMNS = ["link", "direction", "at", "esnoDb", "rxLevelDbm"]


def read(text: str, **sizes: Any) -> tuple[list[Any], list[int], dict[int, str]]:
    opened = open_table(io.BytesIO(text.encode()), **sizes)
    pieces = [*opened.read_pieces([*opened.schema])]
    assert opened.count_rows() == sum(len(piece.rows) + len(piece.refused) for piece in pieces)
    rows = [row for piece in pieces for row in piece.rows.iter_rows()]
    refused = {line: reason for piece in pieces for line, reason in piece.refused.iter_rows()}
    return rows, [line for piece in pieces for line in piece.lines], refused


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("size", [400, 500, 8 << 20])
def test_fields_in_tables_of_their_own_become_columns(end: str, size: int) -> None:
    text = BOTH.replace("\n", end)
    opened = open_table(io.BytesIO(text.encode()))

    rows, lines, refused = read(text, block_bytes=size)

    assert [*opened.headings.items()] == [(name, "_time" if name == "at" else name) for name in COLUMNS]
    assert (rows, refused) == (ROWS, {})
    assert lines == [5, 6, 7, 15]


def test_only_what_is_asked_for_makes_rows() -> None:
    opened = open_table(io.BytesIO(BOTH.encode()))

    [piece] = opened.read_pieces(["link", "at", "rxLevelDbm"])

    assert [*piece.rows.iter_rows()] == [("7", "T1", "-45"), ("7", "T2", "-46"), ("7", "T1", "-50")]


def test_far_apart_fields_come_in_rows_of_their_own() -> None:
    opened = open_table(io.BytesIO(BOTH.encode()))
    assert isinstance(opened, AnnotatedFile)
    opened._gathered_rows = 3

    pieces = [*opened.read_pieces(COLUMNS)]

    rows = [row for piece in pieces for row in piece.rows.iter_rows()]
    assert rows[0] == ("7", "OB", "T1", "12.5", None)
    assert ("7", "OB", "T1", None, "-45") in rows


def test_the_same_moment_twice_stays_two_rows() -> None:
    rows, _, _ = read(table("esnoDb", [*ESNO, ("7", "OB", "T1", "9")]))

    assert ("7", "OB", "T1", "9") in rows
    assert len(rows) == 4


def test_pivoted_tables_are_read_as_they_are() -> None:
    text = (
        "#datatype,string,long,dateTime:RFC3339,string,string,double,double\n"
        ",result,table,_time,link,direction,esnoDb,rxLevelDbm\n"
        ",r,0,T1,7,OB,12.5,-45\n,r,0,T2,7,OB,,-46\n"
    )

    assert read(text)[0] == [("T1", "7", "OB", "12.5", "-45"), ("T2", "7", "OB", None, "-46")]


def test_a_row_that_is_too_wide_is_refused_alone() -> None:
    text = BOTH.replace(",T2,12.6", ",T2,12,6")

    rows, _, refused = read(text)

    assert refused == {6: "The row has not as many cells as the heading: line 6 has 12, the heading 11."}
    assert ("7", "OB", "T2", None, "-46") in rows


def test_an_error_of_influxdb_is_told() -> None:
    text = "#datatype,string,long\n,error,reference\n,Failed to parse query,897\n"

    with pytest.raises(Unreadable, match="it holds an error of InfluxDB, and no samples: Failed to parse query,897"):
        open_table(io.BytesIO(text.encode()))


def test_the_form_that_is_written_to_influxdb_is_a_plain_table() -> None:
    text = "#datatype measurement,tag,double,dateTime:RFC3339\nm,link,esnoDb,time\nlinks,7,12.5,T1\n"

    opened = open_table(io.BytesIO(text.encode()))

    assert [*opened.schema] == ["m", "link", "esnoDb", "time"]
    assert [*next(iter(opened.read_pieces(["link", "esnoDb"]))).rows.iter_rows()] == [("7", "12.5")]
