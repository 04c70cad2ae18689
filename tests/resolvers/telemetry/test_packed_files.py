"""gzip and zstd files are read as streams: whole, in bounded memory, or a sentence."""

import gzip
import io
import os
import random
import tracemalloc
from collections.abc import Callable
from functools import partial

import polars as pl
import pytest

from resolvers.base.errors import InvalidInput
from resolvers.base.files import Wanted
from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.processes import FileReaders
from resolvers.telemetry.files.tabular import open_table
from tests.helpers.packing import compress_by_zstd

Pack = Callable[[bytes], bytes]
PACKS = [partial(gzip.compress, compresslevel=1), compress_by_zstd]
NAMES = ["gzip", "zstd"]
both = pytest.mark.parametrize(("pack", "name"), [*zip(PACKS, NAMES, strict=True)], ids=NAMES)


def read(content: bytes, max_unpacked: int = 1 << 30) -> tuple[list[str | None], list[str]]:
    """The first column, and the notes."""
    table = open_table(io.BytesIO(content), max_unpacked=max_unpacked)
    counted = table.count_rows()
    numbers = [number for piece in table.read_pieces(["link"]) for number in piece.rows["link"]]
    assert counted == len(numbers)
    return numbers, [*table.notes]


def csv(rows: int) -> bytes:
    return b"link,esnoDb\n" + b"".join(b"%d,12.5\n" % number for number in range(rows))


@both
@pytest.mark.parametrize("rows", [0, 1, 300_000])
def test_packed_files_are_read_as_they_are(pack: Pack, name: str, rows: int) -> None:
    numbers, notes = read(pack(csv(rows)))

    assert numbers == [str(number) for number in range(rows)]
    assert notes == [f"It is compressed by {name}."]


@both
def test_files_that_do_not_shrink_are_read_too(pack: Pack, name: str) -> None:
    """Above 8 MiB compressed, which used to end unexpectedly."""
    noise = [os.urandom(16).hex() for _ in range(600_000)]

    numbers, _ = read(pack(("link,esnoDb\n" + "".join(f"{word},1\n" for word in noise)).encode()))

    assert numbers == noise


@both
def test_several_members_are_one_file(pack: Pack, name: str) -> None:
    whole = csv(1000)
    parts = [pack(whole[start : start + 3000]) for start in range(0, len(whole), 3000)]

    numbers, _ = read(b"".join(parts))

    assert len(numbers) == 1000


def test_zeros_behind_gzip_and_frames_without_data_in_zstd_are_nothing() -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00note"

    assert len(read(gzip.compress(csv(9)) + bytes(5000))[0]) == 9
    assert len(read(skipped + compress_by_zstd(csv(9)) + skipped)[0]) == 9


def test_one_may_stand_in_the_other() -> None:
    numbers, notes = read(gzip.compress(compress_by_zstd(csv(9))))

    assert (len(numbers), notes) == (9, ["It is compressed by gzip.", "It is compressed by zstd."])


@both
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.9999])
def test_what_was_cut_off_is_a_sentence_before_any_row(pack: Pack, name: str, share: float) -> None:
    packed = pack(csv(50_000))

    with pytest.raises(Unreadable, match=f"its {name} data (end too early; it was cut off|are damaged)"):
        read(packed[: int(len(packed) * share)])


@both
@pytest.mark.parametrize("after", [b"\0\0x", b"link,esnoDb\n1,2\n"])
def test_other_bytes_behind_it_are_told(pack: Pack, name: str, after: bytes) -> None:
    with pytest.raises(Unreadable, match=f"its {name} data"):
        read(pack(csv(9)) + after)


@both
def test_no_damaged_byte_goes_unnoticed(pack: Pack, name: str) -> None:
    chance, content = random.Random(3), csv(2000)
    packed = pack(content)
    for _ in range(100):
        spoiled = bytearray(packed)
        place = chance.randrange(10, len(packed))  # behind gzip's header, whose time and system do not matter
        spoiled[place] ^= 1 << chance.randrange(8)
        try:
            numbers, _ = read(bytes(spoiled))
        except Unreadable:
            continue
        assert numbers == [str(number) for number in range(2000)]


@both
def test_a_bomb_costs_little_memory_and_is_told(pack: Pack, name: str) -> None:
    bomb = pack(b"link,esnoDb\n" + b"1,2\n" * 16_000_000)
    tracemalloc.start()

    with pytest.raises(Unreadable, match="unpacked, it is larger than MAX_UNPACKED"):
        read(bomb, max_unpacked=32 << 20)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(bomb) + (60 << 20)


def test_packing_without_end_is_told() -> None:
    content = csv(9)
    for _ in range(5):
        content = gzip.compress(content)

    with pytest.raises(Unreadable, match="packed again and again"):
        read(content)


def test_what_is_packed_is_named_too() -> None:
    with pytest.raises(Unreadable, match="it is JSON"):
        read(gzip.compress(b'{"rows": []}'))
    with pytest.raises(Unreadable, match="it is empty"):
        read(gzip.compress(b""))


@both
def test_parquet_in_another_packing_is_read(pack: Pack, name: str) -> None:
    """Exports are often packed whatever they are; of large ones we say to unpack them."""
    written = io.BytesIO()
    pl.DataFrame({"link": [str(number) for number in range(50_000)]}).write_parquet(written)
    packed = pack(written.getvalue())

    numbers, notes = read(packed)

    assert numbers == [str(number) for number in range(50_000)]
    assert notes == [f"It is compressed by {name}."]
    with pytest.raises(Unreadable, match=f"Parquet of more than 0 MiB compressed by {name}; unpack it first"):
        open_table(io.BytesIO(packed), max_parquet=1000)


@both
def test_parquet_that_was_cut_off_in_its_packing_is_told(pack: Pack, name: str) -> None:
    written = io.BytesIO()
    pl.DataFrame({"link": [str(number) for number in range(50_000)]}).write_parquet(written)

    with pytest.raises(Unreadable, match=f"its {name} data end too early"):
        read(pack(written.getvalue())[:-1000])


async def test_the_server_has_a_limit_of_its_own() -> None:
    with io.FileIO(os.memfd_create("bomb"), "w+") as file:
        file.write(gzip.compress(csv(200_000)))
        with pytest.raises(InvalidInput, match=r"it is larger than MAX_UNPACKED \(1,048,576 bytes\); send it in parts"):
            async with FileReaders(max_unpacked=1 << 20).open(file, "bomb.csv", Wanted(["link"], {"esno_db": "dB"})):
                pass
