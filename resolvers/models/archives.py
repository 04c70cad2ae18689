"""Reads untrusted zips: none of them can fill the memory or run code."""

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tokenize import TokenError
from typing import IO, Final

from numpy.lib import format as npy

from ml.numerics.artefacts import is_shortage

LARGEST_ARTEFACT: Final = 32 * 1024 * 1024  # bytes
LARGEST_UNPACKED: Final = 128 * 1024 * 1024  # bytes of arrays
LARGEST_TEXT: Final = 64 * 1024  # bytes of an array that holds no numbers: it becomes Python objects
NUMBERS: Final = "if"  # numpy's kinds of them; text is in bytes (unsigned) or characters
MOST_MEMBERS: Final = 100
PLAIN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack more at once than was asked for
ENCRYPTED: Final = 0x1
NOT_A_HEADER: Final = (ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)


@contextmanager
def open_zip(content: IO[bytes], largest: int) -> Iterator[zipfile.ZipFile]:
    """Yields a zip that unpacks to at most `largest` bytes. Raises ValueError for others, also while it is read."""
    try:
        with zipfile.ZipFile(content) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS or sum(member.file_size for member in members) > largest:
                raise ValueError(f"it unpacks to more than {largest} bytes, or {MOST_MEMBERS} files")
            if any(member.compress_type not in PLAIN or member.flag_bits & ENCRYPTED for member in members):
                raise ValueError("it is encrypted, or compressed by something else than deflate")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, OverflowError) as error:
        if is_shortage(error):
            raise
        raise ValueError(f"it is not a zip file, or it is damaged: {error}") from error


def check_arrays(artefact: bytes) -> None:
    """Raises ValueError unless it is an `.npz` file of plain arrays, each as large as it claims."""
    if len(artefact) > LARGEST_ARTEFACT:
        raise ValueError(f"it has more than {LARGEST_ARTEFACT} bytes")
    with open_zip(io.BytesIO(artefact), LARGEST_UNPACKED) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                _check_array(file, member)
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not match its checksum")


def _check_array(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Checks an array before numpy reads it, which would allocate as much memory as the header claims."""
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
    except NOT_A_HEADER as error:
        raise ValueError(f"{member.filename} is not an array") from error
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects, which could run anything")
    if dtype.itemsize == 0:
        raise ValueError(f"{member.filename} holds items of size 0, which could be any number")
    if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f"{member.filename} is not as large as it claims")
    if dtype.kind not in NUMBERS and member.file_size > LARGEST_TEXT:
        raise ValueError(f"{member.filename} holds more text than any model has")
