"""Bodies of POSTs that a stranger might send to make the server work, or hold, more than they cost to send."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from random import Random

JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x", "graphql-require-preflight": "1"}
SIZES = (1_000, 60_000, 1_000_000, 1_048_576, 4_000_000)  # around what is allowed
Body = tuple[str, dict[str, str], bytes]


def bodies(random: Random) -> Iterator[Body]:
    """Name, headers and body of one request after the other, without end."""
    while True:
        yield random.choice((_json, _packed, _form))(random)


# ---------------------------------------------------------------- JSON


def _repeated(unit: bytes, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: before + unit * (size // len(unit)) + after


SHAPES: dict[str, Callable[[int], bytes]] = {
    "lists": _repeated(b"[],", b"[", b"[]]"),
    "objects": _repeated(b"{},", b"[", b"{}]"),
    "operations": _repeated(b'{"query":"{__typename}"},', b"[", b"{}]"),
    "texts": _repeated(b'"",', b"[", b'""]'),
    "texts of commas": _repeated(b'",",', b"[", b'""]'),
    "members": _repeated(b'"a":1,', b'{"query":"{__typename}","variables":{', b'"b":1}}'),
    "nested lists": _repeated(b"["),
    "nested objects": _repeated(b'{"a":'),
    "deep variables": lambda size: b'{"query":"{__typename}","variables":' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
    "digits": _repeated(b"9", b'{"query":"{__typename}","variables":{"a":', b"}}"),
    "decimals": _repeated(b"9", b'{"query":"{__typename}","variables":{"a":0.', b"}}"),
    "numbers": _repeated(b"1e-300,", b"[", b"1]"),
    "escapes": _repeated(b"\\u00e9", b'{"query":"', b'"}'),
    "backslashes": _repeated(b'\\"', b'{"query":"'),
    "blanks": _repeated(b" ", b"", b'{"query":"{__typename}"}'),
    "blanks between": _repeated(b"[ \n", b'{"query":"'),
    "places to cut": _repeated(b'{"a":"},{"},', b'{"variables":{"r":[', b'{}]},"query":"{__typename}"}'),
    "an open object at the end": _repeated(b"{},", b'{"variables":{"r":[', b'{]},"query":"{__typename}"}'),
    "control characters": _repeated(b"\0"),
    "no UTF-8": _repeated(b"\xff", b'{"query":"', b'"}'),
    "names": lambda size: json.dumps(
        {"query": "{__typename}", "variables": {f"{n}": n for n in range(size // 14)}}
    ).encode(),
}


def _json(random: Random) -> Body:
    name, size = random.choice([*SHAPES]), random.choice(SIZES)
    return f"JSON: {name}, {size}", JSON, SHAPES[name](size)


# ---------------------------------------------------------------- packed


def _packed(random: Random) -> Body:
    name, size = random.choice([*SHAPES]), random.choice((*SIZES, 60_000_000))
    body = SHAPES[name](size)
    encoding, packed = random.choice(
        (
            ("gzip", gzip.compress(body, 1)),
            ("gzip", gzip.compress(body, 9)[: -random.randrange(1, 20)]),
            ("gzip", gzip.compress(gzip.compress(body, 9), 9)),
            ("gzip", gzip.compress(b"") * 5_000),
            ("gzip", gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 200_000),
            ("gzip", body[:100_000]),
            ("deflate", zlib.compress(body)),
            ("deflate", zlib.compress(body)[2:-4]),
            ("gzip, gzip", gzip.compress(body)),
            ("br", body[:1_000]),
        )
    )
    return f"{encoding}: {name}, {size}", {**JSON, "content-encoding": encoding}, packed


# ---------------------------------------------------------------- forms


def _part(headers: bytes, content: bytes) -> bytes:
    return b"--x\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def _write_header(name: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"' + more


def _forms(random: Random, size: int) -> dict[str, bytes]:
    operations = _part(_write_header(b"operations"), b'{"query":"{__typename}","variables":{"file":null}}')
    places, end = _part(_write_header(b"map"), b'{"0":["variables.file"]}'), b"--x--\r\n"
    file = _part(_write_header(b"0", b'; filename="a"'), b"y" * size)
    shape = SHAPES[random.choice([*SHAPES])](size)
    return {
        "a file": operations + places + file + end,
        "files": operations + places + file * 20 + end,
        "a file first": file + operations + places + end,
        "half a file": operations + places + file[: size // 2],
        "operations": _part(_write_header(b"operations"), shape) + places + end,
        "map": operations + _part(_write_header(b"map"), shape) + end,
        "a map of many places": operations
        + _part(_write_header(b"map"), b'{"0":[' + b'"a",' * (size // 4) + b'"a"]}')
        + file
        + end,
        "deep places": operations
        + _part(_write_header(b"map"), b'{"0":["' + b"a." * (size // 2) + b'"]}')
        + file
        + end,
        "fields": _part(_write_header(b"y"), b"") * (size // 50) + end,
        "almost boundaries": operations
        + places
        + _part(_write_header(b"0", b'; filename="a"'), b"\r\n--" * (size // 4))
        + end,
        "headers": b"--x\r\n" + b"a: b\r\n" * (size // 6),
        "a header": b"--x\r\na: " + b"b" * size,
        "a name": _part(_write_header(b"y" * size), b"") + end,
        "parameters": _part(_write_header(b"0", b"; filename*=utf-8'" * (size // 19)), b"") + end,
        "before and after": b"\r\n" * (size // 2) + operations + places + end + b"\r\n" * (size // 2),
        "no form": b"z" * size,
    }


def _form(random: Random) -> Body:
    size = random.choice(SIZES)
    name, body = random.choice([*_forms(random, size).items()])
    boundary = random.choice(("x",) * 8 + ('"x"', "", "y" * 300, "x; charset=utf-16"))
    headers = {**FORM, "content-type": f"multipart/form-data; boundary={boundary}"}
    if random.random() < 0.2:
        return f"form, packed: {name}, {size}", {**headers, "content-encoding": "gzip"}, gzip.compress(body, 1)
    return f"form: {name}, {size}", headers, body
