"""Turns texts of other encodings into UTF-8."""

import codecs
from collections.abc import Iterator
from typing import Final

BOMS: Final = {  # the longer ones first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
NAMES: Final = {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32-le": "UTF-32", "utf-32-be": "UTF-32"}
WINDOWS: Final = "as-windows-1252"
SHARE: Final = 0.1  # of the bytes, at least, that are zeros in UTF-16: half of each ASCII letter


def _decode_as_windows(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101  of nothing else we ask
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(WINDOWS, _decode_as_windows)


def detect_encoding(beginning: bytes) -> tuple[str, int]:
    """Returns a text's encoding, by its first bytes, and how many of them say only that."""
    for bom, encoding in BOMS.items():
        if beginning.startswith(bom):
            return encoding, len(bom)
    even, odd = beginning[::2].count(0), beginning[1::2].count(0)
    if max(even, odd) > SHARE * len(beginning):
        if odd > 3 * even:
            return "utf-16-le", 0
        if even > 3 * odd:
            return "utf-16-be", 0
    return "utf-8", 0


def encode_as_utf8(chunks: Iterator[bytes], encoding: str, skipped: int) -> Iterator[bytes]:
    """Yields the text in UTF-8, without its first bytes. What is damaged becomes U+FFFD."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks:
        text, skipped = chunk[skipped:], max(0, skipped - len(chunk))
        yield decoder.decode(text).encode() if decoder else text
    if decoder:
        yield decoder.decode(b"", final=True).encode()


def mend_utf8(block: bytes) -> tuple[bytes, int]:
    """Returns the text with what is not UTF-8 read as Windows-1252, and how many of its lines have such letters."""
    try:
        block.decode()
    except UnicodeDecodeError:
        mended = block.decode("utf-8", WINDOWS).encode()
    else:
        return block, 0
    pairs = zip(block.split(b"\n"), mended.split(b"\n"), strict=True)
    return mended, sum(before != after for before, after in pairs)
