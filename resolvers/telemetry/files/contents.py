"""Says what a file seems to be that is no table of samples, by how it begins."""

from typing import Final

SNIFFED_BYTES: Final = 4096
MARKS: Final = {
    b"PARE": "its footer is encrypted",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook; save the sheet as CSV",
    b"BZh": "it is compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "it is compressed by xz; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "it is a 7z archive; send the file in it",
    b"Rar!": "it is a RAR archive; send the file in it",
    b"\x04\x22\x4d\x18": "it is compressed by LZ4; unpack it first",
    b"\x78\x01": "it is compressed by zlib; unpack it first",
    b"\x78\x9c": "it is compressed by zlib; unpack it first",
    b"\x78\xda": "it is compressed by zlib; unpack it first",
    b"ARROW1": "it is an Arrow (Feather) file; save it as Parquet",
    b"FEA1": "it is a Feather file; save it as Parquet",
    b"ORC": "it is an ORC file; save it as Parquet",
    b"Obj\x01": "it is an Avro file; save it as Parquet",
    b"\x89HDF": "it is an HDF5 file; save it as Parquet or CSV",
    b"SQLite format 3": "it is an SQLite database; export its table as CSV",
    b"PGDMP": "it is a dump of PostgreSQL; export its table as CSV",
    b"PGCOPY": "it is a binary copy of PostgreSQL; export its table as CSV",
    b"%PDF": "it is a PDF document; send the table in it as CSV",
    b"\x89PNG": "it is a PNG picture",
    b"\xff\xd8\xff": "it is a JPEG picture",
    b"{\\rtf": "it is an RTF document; save its text as CSV",
}
ZIP: Final = b"PK\x03\x04"
EXCEL_PARTS: Final = (b"[Content_Types].xml", b"xl/", b"_rels/")
PARQUET: Final = b"PAR1"
MANY_CONTROLS: Final = 0.1  # of the first bytes: no text has as many
CONTROLS: Final = bytes(set(range(32)) - {9, 10, 12, 13, 27})


def name_other(beginning: bytes) -> str | None:
    """Returns what a file is that begins like this, in a sentence's end; None where it may be a table."""
    for mark, why in MARKS.items():
        if beginning.startswith(mark):
            return why
    if beginning.startswith(ZIP):
        is_excel = any(part in beginning for part in EXCEL_PARTS)
        return "it is an Excel workbook; save the sheet as CSV" if is_excel else "it is a zip; send the CSV file in it"
    if beginning[257:262] == b"ustar":
        return "it is a tar archive; send the file in it"
    return None


def name_other_text(text: bytes) -> str | None:
    """Returns the same of a file whose text, in UTF-8, begins like this."""
    words = text.lstrip()
    if not words:
        return "it is empty"
    if len(words.translate(None, CONTROLS)) < (1 - MANY_CONTROLS) * len(words):
        return "it has too many control characters for a text"
    if words[:1] == b"<":
        is_page = words[:14].lower().startswith((b"<!doctype html", b"<html", b"<head"))
        return (
            "it is an HTML page, perhaps of an error or to sign in"
            if is_page
            else "it is XML or HTML; send its table as CSV"
        )
    if words[:1] == b"{" or (words[:1] == b"[" and words[1:].lstrip()[:1] in (b"{", b"[", b"]")):
        return "it is JSON; send it with the mutations that take rows or columns, or save it as CSV"
    return None
