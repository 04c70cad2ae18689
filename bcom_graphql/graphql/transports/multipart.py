"""Parses multipart forms as they arrive: files, and the fields of the specification; skips other fields."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import UploadFile

from bcom_graphql.graphql.errors import BadRequest
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.transports.spool import DiskReservation, report_os_errors

FIELDS: Final = ("operations", "map")
MAX_OTHER_PARTS: Final = 100  # besides files
EXTENDED_NAME: Final = re.compile(rb"filename\*\s*=\s*utf-8'[^']*'([^;\s]*)", re.IGNORECASE)  # RFC 8187
EVENTS: Final = (
    "part_begin",
    "header_field",
    "header_value",
    "header_end",
    "headers_finished",
    "part_data",
    "end",
)


class MultipartForm:
    """The fields and files of a form by name; the last where a name repeats."""

    def __init__(self, content_type: str, limits: Limits, disk: DiskReservation) -> None:
        """Raises RequestError for a content type without a boundary."""
        self.fields: dict[str, bytearray] = {}
        self.files: dict[str, UploadFile] = {}
        self.disk = disk
        self._limits = limits
        self._parts = self._opened = self._kept = 0
        self._header = self._value = self._disposition = b""
        self._into: bytearray | UploadFile | None = None
        self._unwritten: list[tuple[UploadFile, bytes]] = []
        self._is_complete = False
        callbacks: Any = {f"on_{event}": getattr(self, f"_{event}") for event in EVENTS}
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise BadRequest("This is no multipart form: its Content-Type names no boundary.")
        with _form_errors():
            self._parser = MultipartParser(boundary, callbacks)

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        """Reads the form. Raises RequestError if it is malformed or incomplete, or a file cannot be stored."""
        async for piece in pieces:
            with _form_errors():
                self._parser.write(piece)
            for file, data in self._unwritten:
                with report_os_errors():
                    await file.write(data)
            self._unwritten.clear()
        if not self._is_complete:
            raise BadRequest("This is no multipart form, or not all of one: its last boundary is missing.")
        for file in self.files.values():
            await file.seek(0)

    # ------------------------------------------------------------ what the parser calls

    def _part_begin(self) -> None:
        self._header = self._value = self._disposition = b""
        self._into = None
        self._parts += 1
        if self._parts > self._limits.files + MAX_OTHER_PARTS:
            raise BadRequest(f"A form has at most {self._limits.files + MAX_OTHER_PARTS} parts.")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, extended = _decode_name(options.get(b"name", b"")), EXTENDED_NAME.search(self._disposition)
        if not name:
            raise BadRequest("Each part of a form has a name in its Content-Disposition.")
        if name in FIELDS:  # some clients send them as files, too
            self._into = self.fields[name] = bytearray()
        elif extended or b"filename" in options or self._is_mapped(name):
            filename = unquote(_decode_name(extended[1])) if extended else _decode_name(options.get(b"filename", b""))
            self._into = self.files[name] = self._new_file(filename)

    def _is_mapped(self, name: str) -> bool:
        """Tells whether `map`, which comes before the files, names it: aiohttp streams files without a file name."""
        return json.dumps(name).encode() in self.fields.get("map", b"")

    def _new_file(self, name: str) -> UploadFile:
        self._opened += 1
        if self._opened > self._limits.files:
            raise BadRequest(f"A request has at most {self._limits.files} files.")
        with report_os_errors():
            return UploadFile(self.disk.open(), size=0, filename=name)  # type: ignore[arg-type]

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if isinstance(self._into, UploadFile):
            self._unwritten.append((self._into, data[start:end]))
        elif self._into is not None:
            self._kept += end - start
            if self._kept > self._limits.body:
                raise BadRequest(f"The form's fields have more than the {self._limits.body} bytes allowed.", 413)
            self._into += data[start:end]

    def _end(self) -> None:
        self._is_complete = True


def _decode_name(name: bytes) -> str:
    """Decodes a name as browsers write it; a few still write Latin-1."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


@contextmanager
def _form_errors() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadRequest(f"This is no multipart form: {error}") from error
