"""Every byte of a CSV file is a cell, or is told of: RFC 4180, and what people send instead."""

import io
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.tabular import open_table

Cells = tuple[str | None, ...]


@dataclass(frozen=True)
class Read:
    """What a file was read as; rows and refused ones by their lines."""

    headings: list[str]
    rows: dict[int, Cells]
    refused: dict[int, str]
    notes: list[str]


def read(content: bytes | str, decimal: str = ".", **sizes: Any) -> Read:
    table = open_table(io.BytesIO(content.encode() if isinstance(content, str) else content), decimal, **sizes)
    counted = table.count_rows()
    rows, refused = dict[int, Cells](), dict[int, str]()
    for piece in table.read_pieces([*table.schema]):
        assert len(piece.rows) == len(piece.lines)
        rows |= dict(zip(piece.lines, piece.rows.iter_rows(), strict=True))
        refused |= dict(piece.refused.iter_rows())
    assert counted == len(rows) + len(refused)
    return Read([*table.headings.values()], rows, refused, [*table.notes])


# ---------------------------------------------------------------- any table comes back

LETTERS = st.text(
    st.one_of(
        st.sampled_from(list(",;\t|\"'\n\r #-=é日\u2028\ufeff")),
        st.characters(min_codepoint=32, exclude_categories=["Cs"]),
        st.sampled_from(list("ab12.")),
    ),
    max_size=6,
)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(LETTERS, min_size=width, max_size=width), min_size=1, max_size=12)
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


def write(table: list[list[str]], delimiter: str, line_end: str, *, always: bool) -> str:
    """As RFC 4180 says; Python's writer leaves some line breaks without quotes."""
    special = {delimiter, '"', "\r", "\n"}
    rows = [
        ['"' + cell.replace('"', '""') + '"' if always or special & {*cell} else cell for cell in row] for row in table
    ]
    return line_end.join([*(delimiter.join(row) for row in rows), ""])


@settings(max_examples=300, deadline=None)
@given(
    TABLES,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(ENCODINGS),
    st.integers(300, 1200),
    st.integers(1, 20),
)
@example([["", ","]], ";", "\n", False, "utf-8", 300, 1)  # a comma makes no title of the heading
def test_csv_out_of_any_table_comes_back_equal(
    table: list[list[str]], delimiter: str, line_end: str, always: bool, encoding: str, block: int, most: int
) -> None:
    headings = [f"heading {number}" for number in range(len(table[0]))]
    text = write([headings, *table], delimiter, line_end, always=always)

    found = read(text.encode(encoding), block_bytes=block, max_rows=most)

    assert found.headings == headings
    assert [tuple(cell or "" for cell in row) for row in found.rows.values()] == [tuple(row) for row in table]
    assert found.refused == {}


# ---------------------------------------------------------------- quotes

HEADER = "link,remark,esnoDb\n"
OPEN = "A quote is opened that is not closed: line {}."
FOLLOWED = "Letters follow a closing quote: line {}."
WIDTH = "The row has not as many cells as the heading: line {} has {}, the heading {}."


@pytest.mark.parametrize("size", [64, 100, 1 << 20])
def test_a_quote_inside_an_unquoted_cell_is_a_letter(size: int) -> None:
    between = [f"{number},fine,12" for number in range(50)]
    found = read(HEADER + "\n".join(['1,1.8" dish,12', *between, '2,2.4" dish,11', '3,"a ""b""",10']), block_bytes=size)

    assert found.refused == {}
    assert len(found.rows) == 53
    assert found.rows[2] == ("1", '1.8" dish', "12")
    assert found.rows[53] == ("2", '2.4" dish', "11")
    assert found.rows[54] == ("3", 'a "b"', "10")


@pytest.mark.parametrize("size", [64, 100, 1 << 20])
@pytest.mark.parametrize("after", ["", '3,"x",5\n', '3,"",5\n', '3,5" dish,5\n', '3,"a\nb",5\n'])
def test_an_open_quote_costs_its_own_line_alone(size: int, after: str) -> None:
    content = HEADER + '1,fine,12\n2,"open,12\n' + "3,fine,12\n" * 30 + after

    found = read(content, block_bytes=size)

    assert found.refused.keys() == {3}
    assert found.refused[3] in (OPEN.format(3), FOLLOWED.format(3))
    assert len(found.rows) == 31 + bool(after)


def test_an_open_quote_that_another_row_closes_costs_no_row_between() -> None:
    found = read(HEADER + '1,"open,12\n2,fine,11\n3,a cell ends,"so"\n4,its end",10\n5,fine,9\n')

    assert {*found.rows} >= {3, 6}
    assert {*found.rows} | {*found.refused} >= {2, 3, 5, 6}
    assert 2 in found.refused


def test_letters_after_a_closing_quote_are_told() -> None:
    found = read(HEADER + '1,"x"y,12\n2,"1.8" dish,12\n3,fine,12\n')

    assert found.refused == {2: FOLLOWED.format(2), 3: FOLLOWED.format(3)}
    assert [*found.rows] == [4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_numbered_as_an_editor_does(end: str) -> None:
    text = HEADER + '1,"a\nb",12\n\n2,fine\n3,fine,12\n'

    found = read(text.replace("\n", end))

    assert found.rows == {2: ("1", f"a{end}b", "12"), 6: ("3", "fine", "12")}
    assert found.refused == {5: WIDTH.format(5, 2, 3)}


def test_mixed_line_ends_all_end_rows() -> None:
    found = read("link,at\r\n1,2\n3,4\r5,6\r\n7,8")

    assert found.rows == {2: ("1", "2"), 3: ("3", "4"), 4: ("5", "6"), 5: ("7", "8")}


# ---------------------------------------------------------------- widths


def test_a_decimal_comma_without_quotes_is_refused_whichever_columns_are_read() -> None:
    table = open_table(io.BytesIO(b"link,remark,esnoDb,rxLevelDbm\n1,x,11,-45\n2,11,5,5,-45\n3,x,11\n4,x,11,-45\n"))

    [piece] = table.read_pieces(["link"])

    assert [*piece.rows["link"]] == ["1", "4"]
    assert [*piece.lines] == [2, 5]
    assert [*piece.refused.iter_rows()] == [(3, WIDTH.format(3, 5, 4)), (4, WIDTH.format(4, 3, 4))]


def test_a_row_of_several_lines_is_refused_once() -> None:
    found = read(HEADER + '1,"a\nb"\n2,fine,12\n')

    assert found.refused == {2: WIDTH.format(2, 2, 3)}
    assert [*found.rows] == [4]


# ---------------------------------------------------------------- how it is written


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize(
    "preamble", ["", "\n\n", "sep={}\n", '"sep={}"\r\n', "# made by a script\n#\n", "Links of May\n\n"]
)
def test_delimiters_are_recognised(delimiter: str, preamble: str) -> None:
    rows = ["link;at;esnoDb", "1;2;12", "2;2;11"]

    found = read("\ufeff" + preamble.format(delimiter) + "\n".join(rows).replace(";", delimiter))

    assert found.headings == ["link", "at", "esnoDb"]
    assert [*found.rows.values()] == [("1", "2", "12"), ("2", "2", "11")]
    assert found.refused == {}


@pytest.mark.parametrize("decimal", [".", ","])
def test_decimal_commas_do_not_separate_cells(decimal: str) -> None:
    found = read("link;at, in UTC;esnoDb;rxLevelDbm\n1;2;12,5;-45,0\n2;2;11,5;-45,1\n", decimal)

    assert found.headings == ["link", "at, in UTC", "esnoDb", "rxLevelDbm"]
    assert [*found.rows.values()] == [("1", "2", "12,5", "-45,0"), ("2", "2", "11,5", "-45,1")]
    assert found.notes == ["Cells are separated by semicolons."]


def test_quoted_decimal_commas_may_stand_between_commas() -> None:
    assert read('link,esnoDb\n1,"12,5"\n', ",").rows == {2: ("1", "12,5")}


def test_comments_and_footers_are_left_out_and_told() -> None:
    found = read("# head\nlink,at,esnoDb\n1,2,12\n#2,2,12\n3,2,12\n-- 300 rows\n\n\x1a")

    assert found.rows == {3: ("1", "2", "12"), 5: ("3", "2", "12")}
    assert found.refused == {}
    assert found.notes == [
        "The file's end was left out: -- 300 rows.",
        "The file says that it has 300 rows, and has 2.",
        "1 lines begin with # and were left out.",
    ]


def test_a_row_may_begin_with_a_hash_where_no_comment_stood_above_the_heading() -> None:
    found = read("remark,at,esnoDb\n#1 dish,2,12\n# a comment\n")

    assert found.rows == {2: ("#1 dish", "2", "12")}
    assert found.notes == ["1 lines begin with # and were left out."]


def test_the_heading_may_be_the_last_comment() -> None:
    found = read("# made by numpy\n# link,at,esnoDb\n1,2,12.5\n")

    assert (found.headings, found.rows) == (["link", "at", "esnoDb"], {3: ("1", "2", "12.5")})


def test_headings_that_come_twice_have_names_of_their_own() -> None:
    table = open_table(io.BytesIO(b"link,esnoDb,esnoDb,\n1,2,3,4\n"))

    assert table.headings == {"link": "link", "esnoDb": "esnoDb", "esnoDb (2)": "esnoDb", "": ""}


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_recognised(encoding: str) -> None:
    rows = [f"{number},Zürich,12" for number in range(100)]

    found = read((HEADER + "\n".join(rows)).encode(encoding))

    assert found.headings == ["link", "remark", "esnoDb"]
    assert [*found.rows.values()] == [(str(number), "Zürich", "12") for number in range(100)]
    notes = {"cp1252": ["100 lines are not in UTF-8 and were read as Windows-1252."], "utf-8-sig": []}
    assert found.notes == notes.get(encoding, [f"It is in UTF-{'32' if '32' in encoding else '16'}."])


def test_a_line_in_another_encoding_costs_no_letter_of_the_others() -> None:
    found = read((HEADER + "1,Zürich,12\n").encode() + b"2,Z\xfcrich,12\n")

    assert [row[1] for row in found.rows.values()] == ["Zürich", "Zürich"]


def test_a_block_may_begin_with_a_byte_order_mark() -> None:
    found = read("\ufeff,at\n\ufeff1,2\n")

    assert (found.headings, found.rows) == (["", "at"], {2: ("\ufeff1", "2")})


@pytest.mark.parametrize("content", [HEADER + "x" * 3000, HEADER + "1,2,3\n" + "x" * 3000 + "\n4,5,6\n"])
def test_a_line_without_an_end_is_not_kept_in_memory(content: str) -> None:
    with pytest.raises(Unreadable, match=r"line [23] is longer than"):
        read(content, block_bytes=100)
