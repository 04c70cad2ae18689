"""Files come in like everything else: batch by batch, each row stored or refused with its reason."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM, Caller
from resolvers.base.errors import Forbidden, InvalidInput, Unauthenticated
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.store.tables.core import Link
from resolvers.telemetry import file_import as importing
from resolvers.telemetry.file_import import Progress
from resolvers.telemetry.files.processes import BATCH_ROWS, FileReaders
from resolvers.telemetry.values.directions import EITHER
from tests.helpers.packing import compress_by_zstd
from tests.helpers.support import Factory, ago, iso, ms, stored

LINK, NETWORK = TargetKind.LINK, TargetKind.NETWORK
NOON = ago(days=1).replace(hour=12, minute=0, second=0)
Import = Callable[..., Any]


@pytest.fixture
async def link(make: Factory) -> Link:
    return await make.link(number=7)


@pytest.fixture
def batch_rows() -> int:
    return BATCH_ROWS


@pytest.fixture
def read(services: Services, tmp_path: Path, batch_rows: int) -> Import:
    """Import a file with this content; what each of its batches came to."""
    services = replace(services, readers=FileReaders(batch_rows=batch_rows))

    def written(content: str | bytes | pl.DataFrame) -> Path:
        if isinstance(content, pl.DataFrame):
            content.write_parquet(tmp_path / "metrics.parquet")
            return tmp_path / "metrics.parquet"
        (tmp_path / "metrics.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / "metrics.csv"

    async def run(
        content: str | bytes | pl.DataFrame | Path, kind: TargetKind = LINK, caller: Any = SYSTEM
    ) -> list[Progress]:
        path = content if isinstance(content, Path) else written(content)
        with importing.open_file(path) as file:
            steps = importing.import_file(lambda: Context(services, caller), kind, file, path.name)
            return [step async for step in steps]

    return run


async def test_a_csv_file_is_stored(read: Import, link: Link, services: Services) -> None:
    [step] = await read(
        f"link,direction,at,esnoDb,rxLevelDbm,remark\n7,OB,{iso(NOON)},12.3,-45,fine\n7,IB,{iso(NOON)},11.5,,\n"
    )

    inbound, outbound = await stored(services, LINK)
    assert (step.rows, step.total, step.recorded.accepted, step.recorded.rejected) == (2, 2, 2, [])
    assert (outbound["link_id"], outbound["at"], outbound["direction"]) == (link.id, NOON, "OB")
    assert (outbound["rx_level_dbm"], inbound["rx_level_dbm"]) == (-45.0, None)
    assert (outbound["esno_db"], inbound["esno_db"]) == (pytest.approx(12.3), 11.5)


@pytest.mark.parametrize(
    "header",
    [
        "link,direction,at,esnoDb",
        "link,direction,at,esno_db",
        "\ufefflink,direction,at,esnoDb",
        '"link","direction","at","esnoDb"',
        " link , direction , at , esnoDb ",
    ],
)
async def test_headers_come_in_many_ways(read: Import, link: Link, services: Services, header: str) -> None:
    [step] = await read(f"{header}\n{link.number},OB,{ms(NOON)},12.5\n")

    [row] = await stored(services, LINK)
    assert step.recorded.accepted == 1
    assert (row["esno_db"], row["at"]) == (12.5, NOON)


async def test_columns_may_be_in_any_order_and_cells_quoted_or_padded(
    read: Import, link: Link, services: Services
) -> None:
    [step] = await read(
        f'at,note,esnoDb,link,direction\r\n"{iso(NOON)}","a, ""b""\nc"," 12.5 ","{link.number}", OB \r\n'
    )

    [row] = await stored(services, LINK)
    assert step.recorded.accepted == 1
    assert (row["esno_db"], row["direction"]) == (12.5, "OB")


async def test_times_come_in_many_ways(read: Import, link: Link, services: Services) -> None:
    day = f"{NOON:%Y-%m-%d}"
    times = {
        f"{ms(NOON)}": 0,
        f"{day}T12:00:01Z": 1,
        f"{day}T14:00:02+02:00": 2,
        f"{day}T12:00:03.250Z": 3.25,
        f"{day} 12:00:04Z": 4,
        f"{day} 07:00:05-05:00": 5,
        f"{day}T12:00:06.123456+00:00": 6.123,
        f"{day}T12:00:07z": 7,
    }

    [step] = await read("link,direction,at,esnoDb\n" + "".join(f"{link.number},OB,{at},12\n" for at in times))

    rows = await stored(services, LINK)
    assert step.recorded.rejected == []
    assert [row["at"] for row in rows] == [NOON + timedelta(seconds=seconds) for seconds in times.values()]


async def test_unreadable_cells_are_refused_with_their_reasons(read: Import, link: Link, services: Services) -> None:
    good = f"{link.number},OB,{ms(NOON)},12.5"
    rows = [
        good,
        f"seven,OB,{ms(NOON)},12.5",
        f"7.5,OB,{ms(NOON)},12.5",
        f"{link.number},OB,yesterday,12.5",
        f"{link.number},OB,{NOON:%Y-%m-%dT%H:%M:%S},12.5",
        f"{link.number},OB,{ms(NOON)},much",
        f"{link.number},UP,{ms(NOON)},12.5",
        f"{link.number},,{ms(NOON)},12.5",
        f",OB,{ms(NOON)},12.5",
        f"{link.number},OB,,12.5",
        f"{link.number},OB,{ms(NOON)},",
        f"{link.number},OB,{ms(NOON)},nan",
        f"{link.number},OB,{ms(NOON)},inf",
        f"{link.number},OB",
    ]

    [step] = await read("link,direction,at,esnoDb\n" + "\n".join(rows))

    assert (step.recorded.accepted, step.recorded.rejected_count, step.total) == (1, 13, 14)
    assert {entry.row: entry.reason for entry in step.recorded.rejected} == {
        1: "link must be a whole number, and is seven.",
        2: "link must be a whole number, and is 7.5.",
        3: "at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, and is yesterday.",
        4: "at must have an offset (append Z for UTC), or its zone must be named with --time-zone (timeZone),"
        f" and is {NOON:%Y-%m-%dT%H:%M:%S}.",
        5: "ESNO_DB must be a number, and is much.",
        6: f"direction {EITHER}, and is UP.",
        7: "The direction must be IB or OB.",
        8: "The link's number is missing.",
        9: "The time is missing.",
        10: "No metric was measured.",
        11: "No metric was measured.",
        12: "ESNO_DB must be finite, and is inf.",
        13: "The row has not as many cells as the heading: line 15 has 2, the heading 4.",
    }
    assert len(await stored(services, LINK)) == 1


async def test_a_long_cell_is_not_repeated_in_full(read: Import, link: Link) -> None:
    [step] = await read(f"link,direction,at,esnoDb\n{link.number},OB,{'9' * 10_000},12\n")

    [entry] = step.recorded.rejected
    assert entry.reason == f"at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, and is {'9' * 100}."


@pytest.mark.parametrize("batch_rows", [10])
async def test_rows_are_numbered_through_the_file(read: Import, link: Link, services: Services) -> None:
    rows = [f"{link.number if n % 12 else 404},OB,{ms(NOON) + n},12" for n in range(35)]

    steps = await read("link,direction,at,esnoDb\n" + "\n".join(rows))

    assert [step.rows for step in steps] == [10, 20, 30, 35]
    assert {step.total for step in steps} == {35}
    assert sum(step.recorded.accepted for step in steps) == len(await stored(services, LINK)) == 32
    assert [entry.row for step in steps for entry in step.recorded.rejected] == [0, 12, 24]


@pytest.mark.parametrize("batch_rows", [7])
@pytest.mark.parametrize("file", ["csv", "parquet"])
async def test_the_same_file_again_is_all_duplicates(read: Import, link: Link, file: str) -> None:
    times = [ms(NOON) + n for n in range(20)]
    frame = pl.DataFrame({"link": link.number, "direction": "OB", "at": times, "esnoDb": 12.5})
    content = frame if file == "parquet" else frame.write_csv()

    first, second = await read(content), await read(content)

    assert sum(step.recorded.accepted for step in first) == 20
    assert [(step.recorded.accepted, step.recorded.duplicates) for step in second] == [(0, 7), (0, 7), (0, 6)]


# ---------------------------------------------------------------- parquet


@pytest.mark.parametrize(
    "at",
    [
        pl.Series([NOON], dtype=pl.Datetime("us", "UTC")),
        pl.Series([NOON], dtype=pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([ms(NOON)]),
        pl.Series([float(ms(NOON))]),
        pl.Series([iso(NOON)]),
    ],
    ids=["utc", "tokyo", "milliseconds", "float", "text"],
)
async def test_a_parquet_file_keeps_its_types(read: Import, link: Link, services: Services, at: pl.Series) -> None:
    direction = pl.Series(["OB"], dtype=pl.Categorical)
    frame = pl.DataFrame(
        {"link": [float(link.number)], "direction": direction, "at": at, "esno_db": [12], "errors": [3]}
    )

    [step] = await read(frame)

    [row] = await stored(services, LINK)
    assert (step.recorded.accepted, step.recorded.rejected) == (1, [])
    assert (row["at"], row["esno_db"], row["errors"], row["direction"]) == (NOON, 12.0, 3.0, "OB")


async def test_half_a_number_is_no_number(read: Import, make: Factory) -> None:
    await make.network(number=7)
    at = [NOON, NOON, NOON + timedelta(seconds=1), None]
    frame = pl.DataFrame(
        {"network": [7.5, None, 7.0, 7.0], "at": at, "latency_ms": [600.0, 600.0, float("nan"), 600.0]}
    )

    [step] = await read(frame, NETWORK)

    assert {entry.row: entry.reason for entry in step.recorded.rejected} == {
        0: "network must be a whole number, and is 7.5.",
        1: "The network's number is missing.",
        2: "No metric was measured.",
        3: "The time is missing.",
    }


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("network", [True], "network must hold numbers, and holds truth values"),
        ("network", [NOON.date()], "network must hold numbers, and holds dates"),
        ("network", [timedelta(milliseconds=600)], "network must hold numbers, and holds durations"),
        ("latency_ms", [timedelta(milliseconds=600)], "latency_ms must hold numbers, and holds durations"),
        ("latency_ms", [[1.0, 2.0]], "latency_ms must hold numbers, and holds lists or structs"),
        ("at", [NOON.date()], "at must hold times, and holds dates without times"),
        (
            "at",
            [NOON.replace(tzinfo=None)],
            "at must hold times of a zone; name it with --time-zone (timeZone), for example UTC",
        ),
    ],
)
async def test_types_are_checked_and_not_cast(read: Import, make: Factory, column: str, values: Any, why: str) -> None:
    await make.network(number=1)
    frame = pl.DataFrame({"network": [1], "at": [NOON], "latency_ms": [600]}).with_columns(pl.Series(column, values))

    with pytest.raises(InvalidInput) as failure:
        await read(frame, NETWORK)

    assert failure.value.message == f"metrics.parquet cannot be used, as its column {why}."


# ---------------------------------------------------------------- what is no such file


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "metrics.csv cannot be read as CSV or Parquet: it is empty."),
        (" \n\n", "metrics.csv cannot be read as CSV or Parquet: it is empty."),
        ("link,direction,esnoDb\n7,OB,12\n", "metrics.csv lacks the column at; it has link, direction, esnoDb."),
        ("at,esnoDb\n1,12\n", "metrics.csv lacks the column link, direction; it has at, esnoDb."),
        ("link,direction,at\n7,OB,1\n", "metrics.csv lacks the column any of throughputMbps, utilizationPct,"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "metrics.csv "),
    ],
)
async def test_what_is_no_csv_file_of_metrics_is_invalid(read: Import, content: str | bytes, why: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        await read(content)

    assert failure.value.message.startswith(why)


async def test_a_header_alone_is_an_empty_import(read: Import) -> None:
    assert await read("link,direction,at,esnoDb\n") == []


async def test_neither_a_directory_nor_nothing_is_a_file(read: Import, link: Link, tmp_path: Path) -> None:
    (tmp_path / "inner.csv").write_text(f"link,direction,at,esnoDb\n{link.number},OB,{ms(NOON)},12\n")

    for path in (tmp_path, tmp_path / "missing.csv", tmp_path / "*.csv", tmp_path / "missing.parquet"):
        with pytest.raises(InvalidInput, match="is not a file"):
            await read(path)


async def test_a_broken_parquet_file_is_invalid(read: Import, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really PAR1")

    with pytest.raises(InvalidInput, match="cannot be read as CSV or Parquet"):
        await read(broken)


async def test_who_may_not_record_may_not_import(read: Import, make: Factory) -> None:
    content = f"link,direction,at,esnoDb\n7,OB,{ms(NOON)},12\n"

    with pytest.raises(Forbidden):
        await read(content, caller=Caller(user_id=(await make.user()).id, role=Role.VIEWER))
    with pytest.raises(Unauthenticated):
        await read(content, caller=None)


async def test_control_characters_are_never_echoed(read: Import, link: Link) -> None:
    [step] = await read(f"link,direction,at,esnoDb\n{link.number},OB,\x1b[31m\x07\u202e1,12\n")

    [entry] = step.recorded.rejected
    assert entry.reason == "at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, and is ?[31m??1."


@pytest.mark.parametrize("pack", [bytes, gzip.compress, compress_by_zstd])
async def test_files_of_other_tools_are_read_and_their_odd_rows_told(read: Import, link: Link, pack: Any) -> None:
    """A spreadsheet's file: UTF-16, semicolons, `sep=`, a quote in a remark, a decimal comma too many."""
    at = ms(NOON)
    rows = [f'7;OB;{at};1.8" dish;12.5', f"7;OB;{at + 1};2;4;12.5", f'7;IB;{at};2.4" dish;11.5']
    text = "sep=;\r\n" + "\r\n".join(["link;direction;at;remark;esnoDb", *rows])

    [step] = await read(pack(text.encode("utf-16")))

    assert (step.rows, step.total, step.recorded.accepted) == (3, 3, 2)
    assert {entry.row: entry.reason for entry in step.recorded.rejected} == {
        1: "The row has not as many cells as the heading: line 4 has 6, the heading 5."
    }
    assert step.recorded.reasons == {"The row has not as many cells as the heading": 1}
