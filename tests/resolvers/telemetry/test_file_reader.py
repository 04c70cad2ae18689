"""Files read in pieces are what they are when read at once."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from resolvers.telemetry.files import tabular

ROWS = ["1,x", '2,"a ""b"""', '3,"a\nb\n\n"', "", '"4\n",', '5,"\n"', "6", '7,""', ",", "8,é"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.csv"


def read(path: Path, columns: list[str], **sizes: Any) -> tuple[int, pl.DataFrame]:
    """How many rows there are said to be, and those."""
    with path.open("rb") as file:
        table = tabular.open_table(file, **sizes)
        return table.count_rows(), pl.concat(piece.rows for piece in table.read_pieces(columns))


@pytest.mark.parametrize("header", ["a,b", "\ufeffa,b", '"a"," b "', '"a\n",b', "a,a", ",b", "\n\na,b"])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
@pytest.mark.parametrize("end", [0, 1])
def test_a_csv_file_is_the_same_in_blocks_of_any_size(path: Path, header: str, line: str, end: int) -> None:
    path.write_bytes((line.join([header, *ROWS]) + line * end).encode())
    whole = pl.read_csv(path, infer_schema=False).select(pl.exclude(""))

    for size in range(16, path.stat().st_size + 1):
        rows, pieces = read(path, whole.columns, block_bytes=size)

        assert rows == len(whole)
        assert_frame_equal(pieces, whole)


@pytest.mark.parametrize("content", ["a,b\n1,2\n" + "3" * 40 + ",4\n", 'a,b\n1,2\n3,"4\n' + "5,6\n" * 20])
def test_a_row_without_an_end_is_not_kept_in_memory(path: Path, content: str) -> None:
    path.write_text(content)

    with pytest.raises(tabular.Unreadable, match="a row is longer than 8 MiB, or a quote is left open"):
        read(path, ["a", "b"], block_bytes=16)


@pytest.mark.parametrize("group", [1, 10, 1000])
def test_a_parquet_file_is_the_same_in_slices(tmp_path: Path, group: int) -> None:
    at = pl.Series(range(40)).cast(pl.Datetime("ms", "UTC"))
    direction = pl.Series(["OB", "IB", None, "OB"] * 10, dtype=pl.Categorical)
    whole = pl.DataFrame({"at": at, "direction": direction, "link": range(40), "esno_db": [1.5, None] * 20})
    whole.write_parquet(tmp_path / "metrics.parquet", row_group_size=group)

    rows, pieces = read(tmp_path / "metrics.parquet", ["esno_db", "at", "direction"], max_rows=7)

    assert rows == 40
    assert_frame_equal(pieces, whole.select("esno_db", "at", "direction"))
