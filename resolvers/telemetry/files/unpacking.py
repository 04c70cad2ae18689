"""Unpacks gzip and zstd as streams: what is in memory is bounded, and so is how much comes out."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from resolvers.telemetry.files.pieces import Unreadable

READ_BYTES: Final = 1 << 20
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
SKIPPABLE: Final = tuple(bytes([byte]) + b"\x2a\x4d\x18" for byte in range(0x50, 0x60))  # zstd's frames without data
LARGEST_WINDOW: Final = 27  # as a power of two: what the zstd command allows
Chunks = Iterator[bytes]


def name_packing(beginning: bytes) -> str | None:
    """Returns how a file is compressed that begins like this; None where it is not, or in another way."""
    if beginning.startswith(GZIP):
        return "gzip"
    return "zstd" if beginning.startswith((ZSTD, *SKIPPABLE)) else None


def unpack(packed: Chunks, packing: str, largest: int) -> Chunks:
    """Yields what is in the file, a bounded part at a time. Raises Unreadable where it is damaged or too large.

    packing: as `name_packing` says.
    largest: bytes that it may unpack to.
    """
    unpacked = 0
    for chunk in UNPACKERS[packing](packed):
        unpacked += len(chunk)
        if unpacked > largest:
            raise Unreadable(f"unpacked, it is larger than MAX_UNPACKED ({largest:,} bytes); send it in parts")
        yield chunk


def _unpack_gzip(packed: Chunks) -> Chunks:
    member = zlib.decompressobj(wbits=31)
    is_begun = False
    try:
        for chunk in packed:
            rest = chunk
            while rest:
                is_begun = True
                yield member.decompress(rest, READ_BYTES)
                rest = member.unconsumed_tail
                if member.eof:
                    rest, is_begun = member.unused_data.lstrip(b"\0"), False  # tapes fill their blocks with zeros
                    member = zlib.decompressobj(wbits=31)
        if is_begun:
            yield member.flush()
    except zlib.error as error:
        raise Unreadable("its gzip data are damaged, or other bytes follow them") from error
    if is_begun and not member.eof:
        raise Unreadable("its gzip data end too early; it was cut off")


def _unpack_zstd(packed: Chunks) -> Chunks:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415  few files need it
    else:
        from backports import zstd  # noqa: PLC0415
    options = {int(zstd.DecompressionParameter.window_log_max): LARGEST_WINDOW}
    frame, is_begun = zstd.ZstdDecompressor(options=options), False
    try:
        for chunk in packed:
            rest = chunk
            while rest or not (frame.needs_input or frame.eof):
                is_begun = True
                yield frame.decompress(rest, READ_BYTES)
                rest = b""
                if frame.eof:
                    rest, is_begun = frame.unused_data, False
                    frame = zstd.ZstdDecompressor(options=options)
    except zstd.ZstdError as error:
        if "memory" in str(error):
            raise Unreadable("it was compressed with a window of more than 128 MiB (zstd --long)") from error
        raise Unreadable("its zstd data are damaged, or other bytes follow them") from error
    if is_begun:
        raise Unreadable("its zstd data end too early; it was cut off")


UNPACKERS: Final[dict[str, Callable[[Chunks], Chunks]]] = {"gzip": _unpack_gzip, "zstd": _unpack_zstd}
