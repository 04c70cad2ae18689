"""Files in a request, as the multipart request specification has them (jaydenseric, version 2).

A form with `operations` (a request or a batch, with null where files belong), `map` (which file goes where) and the
files themselves, which are spooled to disk. At most so many, and so many bytes, as the limits say.
"""

from collections.abc import AsyncGenerator
from typing import Any, Final

from starlette.datastructures import UploadFile

from bcom_graphql.graphql.errors import bad_request
from bcom_graphql.graphql.json import count_values, loaded
from bcom_graphql.graphql.transports.bodies import Admission, Body
from bcom_graphql.graphql.transports.multipart import Form
from bcom_graphql.graphql.transports.spool import Lease

MOST_STEPS: Final = 100  # of the place of a file


async def with_files(body: Body, form: Form, admission: Admission) -> Any:
    """The operations with their files in place. Raises Refused."""
    await form.read(_admitted(body, form.lease, admission))
    operations, places = await _json(form, "operations", admission), await _json(form, "map", admission)
    if not isinstance(places, dict):
        raise bad_request('`map` is an object such as {"0": ["variables.file"]}.')
    for name, paths in places.items():
        file = form.files.get(name)
        if file is None:
            raise bad_request(f"`map` names the file {name!r}, but the form has no such file.")
        if not isinstance(paths, list):
            raise bad_request(f"`map` must list the places of the file {name!r}.")
        for path in paths:
            _put(operations, path, file)
    return operations


async def _admitted(body: Body, lease: Lease, admission: Admission) -> AsyncGenerator[bytes, None]:
    """The body. What anybody may send stays in memory; for more there is room before it comes, if that is announced."""
    size, unpacked = body.announced, 0
    await _make_room(size, lease, admission)
    async for piece in body.pieces():
        unpacked += len(piece)
        size = max(size, body.received, unpacked)
        await _make_room(size, lease, admission)
        await admission.keep(unpacked)
        yield piece


async def _make_room(size: int, lease: Lease, admission: Admission) -> None:
    await admission.check(size, 0, "The upload")
    if admission.is_over:
        lease.hold(size)


async def _json(form: Form, name: str, admission: Admission) -> Any:
    if name not in form.fields:
        raise bad_request(f"The form has no field `{name}`.")
    text, what = bytes(form.fields[name]), f"`{name}`"
    await admission.check(len(text), count_values(text), what)
    return await loaded(text, what)


def _put(operations: Any, path: object, file: UploadFile) -> None:
    """At a place such as `variables.file` or `0.variables.files.1`, which must hold null."""
    *steps, last = path.split(".") if isinstance(path, str) else [""]
    try:
        place = operations
        for step in steps:
            place = place[_key(place, step)]
        key = _key(place, last)
        if place[key] is not None or "variables" not in steps:
            raise KeyError(path)
        place[key] = file
    except (KeyError, IndexError, TypeError, ValueError):
        raise bad_request(f"`map` names {path!r}, but there is no null among the variables.") from None


def _key(place: Any, step: str) -> int | str:
    return int(step) if isinstance(place, list) else step
