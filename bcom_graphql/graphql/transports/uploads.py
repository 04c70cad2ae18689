"""Reads files from requests, as the multipart request specification says (jaydenseric, version 2).

A form with `operations` (a request or a batch, with null where files belong), `map` (which file goes where) and the
files themselves, which are spooled to disk. `Limits` bounds their number and size.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

from starlette.datastructures import UploadFile

from bcom_graphql.graphql.errors import BadRequest
from bcom_graphql.graphql.json import count_values, parse_long_json
from bcom_graphql.graphql.transports.bodies import Admission, Body
from bcom_graphql.graphql.transports.multipart import MultipartForm
from bcom_graphql.graphql.transports.spool import DiskReservation

MAX_STEPS: Final = 100  # of the path to a file's place


async def read_multipart(body: Body, form: MultipartForm, admission: Admission) -> Any:
    """Returns the operations with their files in place. Raises RequestError."""
    await form.read(_read_admitted(body, form.disk, admission))
    operations, places = await _read_json(form, "operations", admission), await _read_json(form, "map", admission)
    if not isinstance(places, dict):
        raise BadRequest('`map` is an object such as {"0": ["variables.file"]}.')
    for name, paths in places.items():
        file = form.files.get(name)
        if file is None:
            raise BadRequest(f"`map` names the file {name!r}, but the form has no such file.")
        if not isinstance(paths, list):
            raise BadRequest(f"`map` must list the places of the file {name!r}.")
        for path in paths:
            _put_file(operations, path, file)
    return operations


async def _read_admitted(body: Body, disk: DiskReservation, admission: Admission) -> AsyncGenerator[bytes, None]:
    """Yields the body. Makes room on disk before more than anybody may send arrives, if that is announced."""
    size, unpacked = body.announced, 0
    await _make_room(size, disk, admission)
    async for piece in body.pieces():
        unpacked += len(piece)
        size = max(size, body.received, unpacked)
        await _make_room(size, disk, admission)
        await admission.keep(unpacked)
        yield piece


async def _make_room(size: int, disk: DiskReservation, admission: Admission) -> None:
    await admission.check(size, 0, "The upload")
    if admission.is_over:
        disk.reserve(size)


async def _read_json(form: MultipartForm, name: str, admission: Admission) -> Any:
    if name not in form.fields:
        raise BadRequest(f"The form has no field `{name}`.")
    text, what = bytes(form.fields[name]), f"`{name}`"
    await admission.check(len(text), count_values(text), what)
    return await parse_long_json(text, what)


def _put_file(operations: Any, path: object, file: UploadFile) -> None:
    """Puts a file at a path such as 0.variables.files.1, which must hold null."""
    *steps, last = path.split(".") if isinstance(path, str) else [""]
    try:
        place = operations
        for step in steps:
            place = place[_to_key(place, step)]
        key = _to_key(place, last)
        if place[key] is not None or "variables" not in steps:
            raise KeyError(path)
        place[key] = file
    except (KeyError, IndexError, TypeError, ValueError):
        raise BadRequest(f"`map` names {path!r}, but there is no null among the variables.") from None


def _to_key(place: Any, step: str) -> int | str:
    return int(step) if isinstance(place, list) else step
