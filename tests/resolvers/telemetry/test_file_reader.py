"""Files read in pieces are what they are when read at once."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from resolvers.telemetry.files import tabular

ROWS = ["1,x", '2,"a ""b"""', '3,"a\nb\n\n"', "", '"4\n",', '5,"\n"', "6", '7,""', ",", "8,é"]
CELLS = [("1", "x"), ("2", 'a "b"'), ("3", "a\nb\n\n"), ("4\n", None), ("5", "\n"), ("7", ""), (None, None), ("8", "é")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def read(path: Path, columns: list[str], **sizes: Any) -> tuple[int, pl.DataFrame]:
    """How many rows there are said to be, and those."""
    with path.open("rb") as file:
        table = tabular.open_table(file, **sizes)
        return table.count_rows(), pl.concat(piece.rows for piece in table.read_pieces(columns))


@pytest.mark.parametrize("header", ["a,b", "\ufeffa,b", '"a"," b "', '"a\n",b', "a,a", ",b", "\n\na,b"])
@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", [0, 1])
def test_a_csv_file_is_the_same_in_blocks_of_any_size(path: Path, header: str, line: str, end: int) -> None:
    path.write_bytes((line.join([header, *ROWS]) + line * end).encode())
    with path.open("rb") as file:
        names = [*tabular.open_table(file).schema]
    whole = pl.DataFrame(CELLS, orient="row")
    whole.columns = names

    for size in range(24, path.stat().st_size + 1):
        rows, pieces = read(path, names, block_bytes=size)

        assert rows == len(whole) + 1
        assert_frame_equal(pieces, whole)


@pytest.mark.parametrize("group", [1, 10, 1000])
def test_a_parquet_file_is_the_same_in_slices(tmp_path: Path, group: int) -> None:
    at = pl.Series(range(40)).cast(pl.Datetime("ms", "UTC"))
    direction = pl.Series(["OB", "IB", None, "OB"] * 10, dtype=pl.Categorical)
    whole = pl.DataFrame({"at": at, "direction": direction, "link": range(40), "esno_db": [1.5, None] * 20})
    whole.write_parquet(tmp_path / "metrics.parquet", row_group_size=group)

    rows, pieces = read(tmp_path / "metrics.parquet", ["esno_db", "at", "direction"], max_rows=7)

    assert rows == 40
    assert_frame_equal(pieces, whole.select("esno_db", "at", pl.col("direction").cast(pl.String)))
