"""Two thousand damaged files: each is a sentence, or rows whose number adds up and whose neighbours are all there."""

import asyncio
import gzip
import io
import random
import re
from collections import Counter
from collections.abc import Callable
from tempfile import SpooledTemporaryFile

import polars as pl
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import InvalidInput
from resolvers.telemetry.files.csv_files import CsvFile
from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.processes import FileReaders
from resolvers.telemetry.files.tabular import open_table
from resolvers.telemetry.import_options import ImportOptions, build_wanted
from tests.helpers.packing import compress_by_zstd

QUICK, ALL = 120, 1700
PARQUET_QUICK, PARQUET_ALL = 8, 300
WANTED = build_wanted(TargetKind.LINK, ImportOptions())
HEADER = "link,direction,at,remark,esnoDb\n"
PIECES = [b'"', b"\n", b"\r", b",", b";", b"\0", b"\xff\xfe", b"#", b'""', b"\x1f\x8b", b"\n\n", b'",', b',"', b"\xe9"]


def build_csv(chance: random.Random) -> bytes:
    remarks = ["", "fine", '1.8" dish', '"a, ""b"""', '"two\nlines"', "Zürich"]
    rows = [f"{n},OB,{1_790_000_000_000 + n},{chance.choice(remarks)},{n % 20}" for n in range(chance.randrange(1, 80))]
    return (HEADER + "\n".join(rows) + "\n").encode()


def build_parquet(chance: random.Random) -> bytes:
    numbers = range(chance.randrange(1, 300))
    frame = pl.DataFrame({"link": numbers, "at": numbers, "esno_db": [float(n) for n in numbers]})
    file = io.BytesIO()
    compression = chance.choice(["zstd", "snappy", "gzip", "uncompressed", "lz4"])
    frame.with_columns(direction=pl.lit("OB")).write_parquet(file, compression=compression)
    return file.getvalue()


def damage(content: bytes, chance: random.Random) -> bytes:
    """Changes, inserts, removes, repeats or cuts off."""
    spoiled = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        place = chance.randrange(len(spoiled) + 1)
        length = min(chance.choice([1, 1, 2, 20, 500]), len(spoiled) - place)
        match chance.randrange(6):
            case 0:
                spoiled[place : place + length] = chance.randbytes(length)
            case 1:
                spoiled[place:place] = chance.choice(PIECES)
            case 2:
                del spoiled[place : place + length]
            case 3:
                spoiled[place:place] = spoiled[place : place + length]
            case 4:
                spoiled[place : place + length] = bytes(length)
            case _:
                del spoiled[place:]
    return bytes(spoiled)


PACKS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    compress_by_zstd,
    lambda content: content.decode().encode("utf-16"),
    lambda content: content.replace(b"\n", b"\r\n"),
    lambda content: content.replace(b"\n", b"\r"),
]


def read(content: bytes, block_bytes: int) -> None:
    """Reads it all: no row comes twice, and no line is lost."""
    table = open_table(io.BytesIO(content), block_bytes=block_bytes)
    counted, pieces = table.count_rows(), [*table.read_pieces([*table.schema])]
    rows = [row for piece in pieces for row in piece.rows.iter_rows()]
    refused = sum(len(piece.refused) for piece in pieces)
    lines = [line for piece in pieces for line in (*piece.lines, *piece.refused["line"])]
    assert counted == len(rows) + refused
    assert len({*lines}) == len(lines) == counted
    if isinstance(table, CsvFile) and not any("compressed" in note or "UTF-" in note for note in table.notes):
        _check_lines(content, table, rows, refused)


def _check_lines(content: bytes, table: CsvFile, rows: list[tuple[str | None, ...]], refused: int) -> None:
    """Each line with something in it is a row's, or refused, or told of; a refused row may have several."""
    present = sum(bool(line) for line in content.splitlines()[table._dialect.lines :])
    of_rows = sum(
        bool(line) for row in rows for line in re.split(r"\r\n|\n|\r", ",".join(f'"{cell or ""}"' for cell in row))
    )
    comments = sum(int(note.split()[0]) for note in table.notes if "begin with #" in note)
    footers = sum("file's end" in note for note in table.notes)
    assert 0 <= present - of_rows - comments - footers - refused <= 2 * refused


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, ALL // QUICK + 1))]
)
def test_damaged_texts_and_packed_files_are_sentences_or_rows_that_add_up(part: int) -> None:
    outcomes = Counter[str]()
    for seed in range(part * QUICK, min((part + 1) * QUICK, ALL)):
        chance = random.Random(seed)
        pack = chance.choice(PACKS)
        content = damage(pack(build_csv(chance)), chance)
        try:
            read(content, chance.choice([600, 2000, 8 << 20]))
        except Unreadable as error:
            outcomes["sentence" if str(error).isprintable() else "riddle"] += 1
        else:
            outcomes["rows"] += 1

    assert outcomes.keys() == {"sentence", "rows"}


@pytest.mark.parametrize("seeds", [range(100), pytest.param(range(100, 400), marks=pytest.mark.slow)])
def test_damage_in_one_line_costs_no_other(seeds: range) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        rows = [f"{n},OB,{n},{chance.choice(['', 'fine', 'a quote'])},12" for n in range(60)]
        place = chance.randrange(len(rows))
        spoiled = bytearray(rows[place].encode())
        for _ in range(3):
            spoiled[chance.randrange(len(spoiled))] = chance.choice(b'",;\0x#\xff9 ')
        lines = [row.encode() for row in rows]
        lines[place] = bytes(spoiled)

        [piece] = open_table(io.BytesIO(HEADER.encode() + b"\n".join(lines))).read_pieces(["link", "at", "esnoDb"])

        others = [(str(n), str(n), "12") for n in range(60) if n != place]
        assert [
            row for row, line in zip(piece.rows.iter_rows(), piece.lines, strict=True) if line != place + 2
        ] == others, (
            seed,
            spoiled,
        )


@pytest.mark.parametrize(
    "seeds", [range(PARQUET_QUICK), pytest.param(range(PARQUET_QUICK, PARQUET_ALL), marks=pytest.mark.slow)]
)
async def test_damaged_parquet_files_are_sentences_or_rows(seeds: range) -> None:
    readers = FileReaders(seconds=60)
    for seed in seeds:
        chance = random.Random(seed)
        content = damage(build_parquet(chance), chance)

        said = await asyncio.wait_for(answer(readers, content), 120)

        assert said is None or said.startswith(("samples cannot be", "samples lacks")), (seed, said)


async def answer(readers: FileReaders, content: bytes) -> str | None:
    """What is said of the file; None where all of its rows were read."""
    with SpooledTemporaryFile() as file:
        file.write(content)
        try:
            async with readers.open(file, "samples", WANTED) as opened:
                rows = sum([len(batch) async for batch in opened.batches()])
        except InvalidInput as error:
            return error.message
    assert rows == opened.rows
    return None
