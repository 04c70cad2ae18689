"""JSON in and out."""

from typing import Any

import orjson

from bcom_graphql.graphql.errors import bad_request


def encode(data: object) -> bytes:
    """Numpy arrays directly, NaN as null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def parsed(text: bytes | str, what: str) -> Any:
    """Raises Refused for what is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"{what} is not JSON: {error}.") from error
