"""Opens tables: CSV and Parquet, packed or not, by what is in the file and not by its name."""

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import BinaryIO, Final

from resolvers.telemetry.files.annotated import AnnotatedFile
from resolvers.telemetry.files.contents import PARQUET, SNIFFED_BYTES, name_other, name_other_text
from resolvers.telemetry.files.csv_files import CsvFile
from resolvers.telemetry.files.dialects import detect_dialect
from resolvers.telemetry.files.encodings import NAMES, detect_encoding, encode_as_utf8
from resolvers.telemetry.files.parquet_files import ParquetFile
from resolvers.telemetry.files.pieces import TableFile, Unreadable
from resolvers.telemetry.files.rows import BLOCK_BYTES, MAX_ROWS
from resolvers.telemetry.files.unpacking import READ_BYTES, name_packing, unpack

SAMPLE_BYTES: Final = 1 << 20  # of which the way is learned in which the file is written
MAX_UNPACKED: Final = 4 << 30
MAX_PACKED_PARQUET: Final = 64 << 20  # is held in memory: Parquet is read from its end, and the reader writes no files
MOST_PACKINGS: Final = 3  # one in the other


def open_table(
    file: BinaryIO,
    decimal: str = ".",
    max_unpacked: int = MAX_UNPACKED,
    block_bytes: int = BLOCK_BYTES,
    max_rows: int = MAX_ROWS,
    max_parquet: int = MAX_PACKED_PARQUET,
) -> TableFile:
    """Opens a table.

    Raises Unreadable, an OSError or a PolarsError for what is none, as the methods do.

    decimal: what separates a number's decimals in CSV, and so is not what separates its cells if anything else can be.
    max_unpacked: bytes that a packed file may unpack to.
    block_bytes: of CSV read at a time; no row may be longer.
    max_rows: of a piece.
    max_parquet: bytes that Parquet in another packing may unpack to.
    """
    packings = _list_packings(file, max_unpacked)
    beginning = _take(_open_chunks(file, packings, max_unpacked, READ_BYTES), SNIFFED_BYTES)
    notes = [f"It is compressed by {packing}." for packing in packings]
    if beginning.startswith(PARQUET):
        if not packings:
            return ParquetFile(file, max_rows)
        unpacked = _hold(_open_chunks(file, packings, max_unpacked, READ_BYTES), packings[0], max_parquet)
        return ParquetFile(unpacked, max_rows, notes)
    if why := name_other(beginning):
        raise Unreadable(why)
    encoding, skipped = detect_encoding(beginning)
    chunk_bytes = min(block_bytes, READ_BYTES)

    def open_text() -> Iterator[bytes]:
        return encode_as_utf8(_open_chunks(file, packings, max_unpacked, chunk_bytes), encoding, skipped)

    sample = _take(open_text(), SAMPLE_BYTES, b"\n\r", block_bytes)
    if why := name_other_text(sample[:SNIFFED_BYTES]):
        raise Unreadable(why)
    notes += [f"It is in {NAMES[encoding]}."] if encoding in NAMES else []
    dialect = detect_dialect(sample, decimal)
    kind = AnnotatedFile if dialect.is_annotated else CsvFile
    return kind(open_text, dialect, notes, block_bytes, max_rows)


def _list_packings(file: BinaryIO, max_unpacked: int) -> list[str]:
    """Returns how the file is packed, from the outside."""
    packings = list[str]()
    while packing := name_packing(_take(_open_chunks(file, packings, max_unpacked, READ_BYTES), SNIFFED_BYTES)):
        packings.append(packing)
        if len(packings) > MOST_PACKINGS:
            raise Unreadable("it is packed again and again")
    return packings


def _open_chunks(file: BinaryIO, packings: list[str], max_unpacked: int, size: int) -> Iterator[bytes]:
    """Yields what is in the file, from its start."""
    file.seek(0)
    chunks = iter(partial(file.read, size), b"")
    for packing in packings:
        chunks = unpack(chunks, packing, max_unpacked)
    return chunks


def _hold(chunks: Iterator[bytes], packing: str, most: int) -> BinaryIO:
    """Returns what is unpacked as a file in memory. Raises Unreadable where it is too large for that."""
    held = BytesIO()
    for chunk in chunks:
        if held.tell() + len(chunk) > most:
            raise Unreadable(f"it is Parquet of more than {most >> 20} MiB compressed by {packing}; unpack it first")
        held.write(chunk)
    return held


def _take(chunks: Iterator[bytes], size: int, until: bytes = b"", most: int = 0) -> bytes:
    """Returns the first bytes; more of them, up to `most`, until one is among `until`."""
    taken = b""
    for chunk in chunks:
        taken += chunk
        if len(taken) >= max(size, most) or (len(taken) >= size and any(byte in taken for byte in until)):
            break
    return taken
