"""Files that would fill the memory or end whoever reads them: each is an answer or a sentence."""

import asyncio
import base64
import gzip
import io
import os
import random
import re
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import polars as pl
import psutil
import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput, Unavailable
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.telemetry.file_import import import_file, import_upload
from resolvers.telemetry.files.processes import AT_ONCE, WAITING, FileReaders
from resolvers.telemetry.import_options import ImportOptions, build_wanted
from tests.fuzz.garbage import damaged
from tests.graphql.test_uploads import imported
from tests.helpers.places import SHARED
from tests.helpers.processes import run
from tests.helpers.support import Factory, Server, ago, ms

HOSTILE = SHARED / "data" / "hostile"
LEAST_MEMORY = 256 << 20
WANTED = build_wanted(TargetKind.LINK, ImportOptions())
HEADER = b"link,direction,at,esnoDb\n"
NO_TABLE = "samples.csv cannot be read as CSV or Parquet: "
TOO_WIDE = "samples.csv cannot be read as CSV or Parquet: it has more than 1000 columns."
NO_MEMORY = "reading it takes more than MAX_IMPORT_MEMORY"
on_linux = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux limits memory")


def parquet(rows: int = 10, **given: Any) -> bytes:
    """Good samples of link 1, with these columns otherwise."""
    at = [ms(ago(minutes=minute)) for minute in range(rows, 0, -1)]
    frame = pl.DataFrame({"at": at}).with_columns(link=1, direction=pl.lit("OB"), esno_db=12.5)
    file = io.BytesIO()
    frame.with_columns(**given).write_parquet(file)
    return file.getvalue()


@cache
def dictionary() -> bytes:
    """A few kilobytes that say the same 100 000 letters a hundred thousand times: 10 GB."""
    return parquet(100_000, direction=pl.lit("y" * 100_000, pl.Categorical))


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("samples.csv", content)
    return file.getvalue()


def encrypted() -> bytes:
    return b"PARE" + parquet()[4:-4] + b"PARE"


def in_a_zone_of_its_own() -> bytes:
    """As one of Apache's test files (ARROW-GH-41317) is: polars panics. The schema stands in the footer in base64."""
    content = parquet(at=pl.from_epoch("at", "ms").dt.replace_time_zone("Asia/Tokyo"))
    [arrow] = re.findall(rb"[A-Za-z0-9+/]{200,}={0,2}", content)
    changed = base64.b64decode(arrow).replace(b"Asia/Tokyo", b"-02:15 ...")
    return content.replace(arrow, base64.b64encode(changed))


SENTENCES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a million columns": (
        lambda: HEADER[:-1] + b"," * 1_000_000 + b"\n1\n",
        TOO_WIDE,
    ),
    "two thousand columns": (
        lambda: parquet(**{f"c{number}": pl.lit(1) for number in range(2000)}),
        TOO_WIDE,
    ),
    "long names": (lambda: b"x" * 5_000_000 + b"\n1\n", "it has " + "x" * 50 + "."),
    "NUL bytes alone": (lambda: bytes(1_000_000), NO_TABLE + "it has too many control characters for a text."),
    "a long line": (lambda: HEADER + b"1,OB,1," + b"x" * 20_000_000, NO_TABLE + "line 2 is longer than 8 MiB."),
    "a long line in gzip": (lambda: gzip.compress(HEADER + b"9" * 20_000_000), NO_TABLE + "line 2 is longer than"),
    "zip": (lambda: zipped(HEADER), "it is a zip; send the CSV file in it."),
    "an encrypted footer": (encrypted, NO_TABLE + "its footer is encrypted."),
    "cut off": (lambda: parquet()[:-20], NO_TABLE),
    "half of it": (lambda: parquet()[: len(parquet()) // 2], NO_TABLE),
    "structs as numbers": (
        lambda: parquet(link=pl.struct(a=1)),
        "its column link must hold numbers, and holds lists or structs.",
    ),
    "structs as times": (
        lambda: parquet(at=pl.struct(a=1)),
        "its column at must hold times, and holds lists or structs.",
    ),
    "structs as directions": (
        lambda: parquet(direction=pl.struct(a=1)),
        "its column direction must hold IB and OB, and holds no text.",
    ),
    "lists as metrics": (
        lambda: parquet(esno_db=pl.lit([1.0])),
        "its column esno_db must hold numbers, and holds lists or structs.",
    ),
    "times of day": (lambda: parquet(at=pl.time(12)), "its column at must hold times, and holds times of day."),
    "bytes that are no text": (lambda: parquet(direction=pl.lit(b"\xff")), NO_TABLE),
    "a zone that there is not": (in_a_zone_of_its_own, NO_TABLE + "it is damaged, or has something in it"),
    "a dictionary of long words": (dictionary, NO_MEMORY),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=on_linux if "words" in name else ()) for name in SENTENCES])
async def test_a_file_that_cannot_be_read_is_a_sentence(server: Server, make: Factory, name: str) -> None:
    make_content, said = SENTENCES[name]
    content = await asyncio.to_thread(make_content)
    async with server(max_import_memory=LEAST_MEMORY) as api:
        operator = await api.as_(Role.OPERATOR)

        result = await imported(operator, content)

    assert (result["__typename"], result["path"]) == ("InvalidInput", ["file"])
    assert said in result["message"]
    assert len(result["message"]) < 500


@pytest.mark.parametrize("name", ["abort1036.parquet", "abort1248.parquet"])
@pytest.mark.skipif(not HOSTILE.exists(), reason="these files are elsewhere")
async def test_a_damaged_file_that_ended_servers_is_a_sentence(server: Server, name: str) -> None:
    async with server() as api:
        result = await imported(await api.as_(Role.OPERATOR), (HOSTILE / name).read_bytes())

    assert NO_MEMORY in result["message"]


LONG = pl.lit("9" * 200_000)  # in a thousand rows: 200 MB, where cells are not bounded first


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"at": LONG}, f"at must be an RFC 3339 time, such as 2026-01-31T12:00:00Z, and is {'9' * 100}."),
        ({"link": LONG}, f"link must be a whole number, and is {'9' * 100}."),
        ({"esno_db": LONG}, f"ESNO_DB must be a number, and is {'9' * 60}."),
        ({"direction": LONG}, f"direction must be IB or OB, and is {'9' * 100}."),
        ({"link": pl.lit("1" + " " * 2000 + "7")}, f"link must be a whole number, and is 1{' ' * 99}."),
        ({"at": pl.lit(2**62)}, "The time is more than"),
    ],
    ids=["times", "numbers", "readings", "directions", "spaces", "a time far ahead"],
)
async def test_cells_that_are_too_long_are_refused_row_by_row(
    server: Server, make: Factory, given: dict[str, Any], reason: str
) -> None:
    await make.link(number=1)
    content = parquet(1000, **given)
    async with server() as api:
        result = await imported(await api.as_(Role.OPERATOR), content)

    assert (result["accepted"], result["rejectedCount"]) == (0, 1000)
    assert result["rejected"][0]["reason"].startswith(reason)


@pytest.mark.parametrize(
    "given",
    [
        {"link": pl.lit("1").cast(pl.Decimal(10, 2)), "esno_db": pl.lit("12.5").cast(pl.Decimal(10, 2))},
        {"link": pl.lit(1, pl.UInt8), "esno_db": pl.lit(12.5, pl.Float32)},
        {"direction": pl.lit("OB").cast(pl.Enum(["IB", "OB"])), "link": pl.lit("1")},
        {"at": pl.from_epoch("at", "ms").dt.cast_time_unit("ns").dt.replace_time_zone("UTC")},
        {f"c{number}": pl.lit(1) for number in range(900)},
    ],
    ids=["decimals", "short", "enumerated", "nanoseconds", "900 columns"],
)
async def test_unusual_types_are_read(server: Server, make: Factory, given: dict[str, Any]) -> None:
    await make.link(number=1)
    async with server() as api:
        result = await imported(await api.as_(Role.OPERATOR), parquet(**given))

    assert (result["accepted"], result["rejectedCount"]) == (10, 0)


async def test_a_table_without_rows_is_an_empty_import(server: Server) -> None:
    async with server() as api:
        result = await imported(await api.as_(Role.OPERATOR), parquet(0))

    assert (result["__typename"], result["accepted"], result["rejectedCount"]) == ("RecordedMetrics", 0, 0)


@on_linux
async def test_the_command_line_says_a_sentence_too(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "samples.parquet"
    file.write_bytes(await asyncio.to_thread(dictionary))

    arguments = ("import", "--kind", "link", str(file))
    result = await asyncio.to_thread(run, tmp_path, *arguments, DATABASE_URL=database_url)

    assert result.returncode == 1
    assert f"samples.parquet cannot be read: {NO_MEMORY}" in result.stderr
    assert "Traceback" not in result.stderr


DAMAGES = 300


@pytest.mark.slow
async def test_whatever_is_damaged_in_a_file_is_an_answer_or_a_sentence() -> None:
    chance, content, readers = random.Random(21), parquet(200), FileReaders()
    spoiled = [damaged(content, changes(chance, len(content))) for _ in range(DAMAGES)]

    answers = [
        await asyncio.gather(*(read(readers, one) for one in pair))
        for pair in zip(spoiled[::2], spoiled[1::2], strict=True)
    ]

    assert Counter(type(answer) for pair in answers for answer in pair).keys() <= {int, InvalidInput}


def changes(chance: random.Random, length: int) -> list[tuple[int, int]]:
    return [(chance.randrange(length), chance.randrange(256)) for _ in range(chance.choice([1, 2, 4, 8]))]


async def read(readers: FileReaders, content: bytes) -> int | InvalidInput:
    """How many rows, or why none."""
    with SpooledTemporaryFile() as file:
        file.write(content)
        try:
            async with readers.open(file, "samples.parquet", WANTED) as opened:
                return sum([len(batch) async for batch in opened.batches()])
        except InvalidInput as error:
            return error


# ---------------------------------------------------------------- the process


def children() -> set[int]:
    """Readers that we have started and that live."""
    ours = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return {child.pid for child in ours if "resolvers.telemetry.files.reading" in child.cmdline()}


def csv(rows: int) -> io.BufferedRandom:
    file = SpooledTemporaryFile()  # noqa: SIM115  the test's end closes it
    file.write(HEADER + b"1,OB,1,12\n" * rows)
    return file  # type: ignore[return-value]


@on_linux
async def test_a_reader_has_no_secrets_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret")
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@somewhere/else")
    readers = FileReaders(memory=LEAST_MEMORY, seconds=60, batch_rows=10)

    with csv(100_000) as file:
        async with readers.open(file, "samples.csv", WANTED):
            [pid] = children()
            folder = Path(f"/proc/{pid}")
            environment, limits = (folder / "environ").read_text(), (folder / "limits").read_text()
            niceness = os.getpriority(os.PRIO_PROCESS, pid)

    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert "secret" not in environment
    assert LEAST_MEMORY < int(soft["Max data size"]) < LEAST_MEMORY + (200 << 20)
    assert (soft["Max file size"], soft["Max core file size"]) == ("0", "0")
    assert 60 <= int(soft["Max cpu time"]) < 120
    assert niceness > os.getpriority(os.PRIO_PROCESS, 0)
    assert children() == set()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGSEGV, "its reader crashed; it is damaged"),
        (signal.SIGKILL, NO_MEMORY),
        (signal.SIGXCPU, "reading it takes longer than MAX_UPLOAD_SECONDS"),
    ],
)
async def test_however_a_reader_dies_is_a_sentence(number: signal.Signals, said: str) -> None:
    async def read() -> None:
        async with FileReaders(batch_rows=1).open(file, "samples.csv", WANTED) as opened:
            async for _ in opened.batches():
                for pid in children():
                    os.kill(pid, number)

    with csv(1_000_000) as file, pytest.raises(InvalidInput, match=f"samples.csv cannot be read: {said}"):
        await read()


async def test_a_reader_that_takes_too_long_is_ended(services: Services) -> None:
    context = Context(replace(services, readers=FileReaders(seconds=0.001)), SYSTEM)

    with csv(1) as file, pytest.raises(InvalidInput, match="reading it takes longer than MAX_UPLOAD_SECONDS"):
        async for _ in import_file(lambda: context, TargetKind.LINK, file, "samples.csv"):
            pass

    assert children() == set()


async def test_a_reader_ends_when_nobody_waits_any_more() -> None:
    readers, begun = FileReaders(batch_rows=1), asyncio.Event()

    async def read() -> None:
        with csv(100_000) as file:
            async with readers.open(file, "samples.csv", WANTED):
                begun.set()
                await asyncio.sleep(3600)

    task = asyncio.create_task(read())
    await begun.wait()
    assert len(children()) == 1
    task.cancel()
    await asyncio.wait([task])

    assert children() == set()


PARENT = """
import asyncio, os, signal
from resolvers.base.files import Wanted
from resolvers.telemetry.files.processes import FileReaders
async def main():
    with open("samples.csv", "rb") as file:
        wanted = Wanted(["link", "at"], {"esno_db": "dB"})
        async with FileReaders(batch_rows=1).open(file, "samples.csv", wanted) as opened:
            print(opened._process.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_a_reader_ends_with_its_server_however_that_ends(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_bytes(HEADER + b"1,OB,1,12\n" * 100_000)

    killed = await asyncio.to_thread(
        partial(subprocess.run, check=False),
        [sys.executable, "-c", PARENT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert killed.returncode == -signal.SIGKILL
    await asyncio.to_thread(_wait_for_the_end, int(killed.stdout))
    assert [path.name for path in tmp_path.iterdir()] == ["samples.csv"]  # noqa: ASYNC240


def _wait_for_the_end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(60)


async def test_only_so_many_files_are_read_at_once_and_so_many_wait() -> None:
    readers, begun = FileReaders(batch_rows=1), asyncio.Semaphore(0)

    async def read() -> None:
        with csv(100_000) as file:
            async with readers.open(file, "samples.csv", WANTED):
                begun.release()
                await asyncio.sleep(3600)

    tasks = [asyncio.create_task(read()) for _ in range(AT_ONCE + WAITING)]
    for _ in range(AT_ONCE):
        await begun.acquire()

    assert len(children()) == AT_ONCE
    with csv(1) as file, pytest.raises(Unavailable, match="2 files are being read, and 8 wait for it"):
        async with readers.open(file, "samples.csv", WANTED):
            pass
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    with csv(1) as file:
        async with readers.open(file, "samples.csv", WANTED) as opened:
            assert opened.rows == 1


async def test_a_temporary_folder_that_takes_no_more_is_said_to(services: Services, tmp_path: Path) -> None:
    with SpooledTemporaryFile(dir=tmp_path / "missing") as content, pytest.raises(Unavailable, match="No file can"):
        await import_upload(Context(services, SYSTEM), TargetKind.LINK, "samples.csv", content)
