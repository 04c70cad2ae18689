"""Files in a request, as the multipart request specification has them (jaydenseric, version 2).

A form with `operations` (a request or a batch, with null where files belong), `map` (which file goes where) and the
files themselves, which are spooled to disk. At most so many, and so many bytes, as the limits say.
"""

from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from bcom_graphql.graphql.errors import bad_request
from bcom_graphql.graphql.json import parsed
from bcom_graphql.graphql.limits import Limits


async def with_files(request: Request, limits: Limits) -> Any:
    """The operations with their files in place. Raises Refused."""
    parser = MultiPartParser(
        request.headers,
        _bounded(request, limits.upload),
        max_files=limits.files,
        max_fields=2,
        max_part_size=limits.body,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise bad_request(f"This is no multipart form: {error.message}") from error
    request._form = form  # noqa: SLF001  so that `request.close()` closes the files
    operations, places = parsed(_field(form, "operations"), "`operations`"), parsed(_field(form, "map"), "`map`")
    if not isinstance(places, dict):
        raise bad_request('`map` is an object such as {"0": ["variables.file"]}.')
    for name, paths in places.items():
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise bad_request(f"`map` names the file {name!r}, but the form has no such file.")
        if not isinstance(paths, list):
            raise bad_request(f"`map` must list the places of the file {name!r}.")
        for path in paths:
            _put(operations, path, file)
    return operations


async def _bounded(request: Request, largest: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > largest:
            raise bad_request(f"An upload has at most {largest} bytes; this one has more.", 413)
        yield chunk


def _field(form: FormData, name: str) -> bytes:
    value = form.get(name)
    if not isinstance(value, str):
        raise bad_request(f"The form has no field `{name}`.")
    return value.encode()


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
