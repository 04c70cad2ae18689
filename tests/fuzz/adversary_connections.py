"""What a hostile client sends over a fresh TCP connection: heads, bodies, handshakes and frames that nobody should."""

import base64
import random
from collections.abc import Callable, Iterable, Iterator

CRLF = b"\r\n"
KEY = base64.b64encode(bytes(16))
UPGRADE = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY]
HANDSHAKE = [*UPGRADE, b"Sec-WebSocket-Protocol: graphql-transport-ws"]
INIT = b'{"type": "connection_init"}'
PIECE = 64 * 1024  # bytes at a time
MUCH = 4 * 1024 * 1024
ODD = [b"", b" ", b"\x00", b"\xff", b"\r", b"\n", b"a" * 300, b"\xc3\xa9", b"chunked", b"-1", b"9" * 40, b"a, b", b"*"]
NAMES = (
    b"Host Content-Length Transfer-Encoding Connection Upgrade Expect Accept Origin Authorization X-Forwarded-For"
    b" X-Request-ID Content-Type Last-Event-ID Cookie"
).split()
METHODS = [b"GET", b"POST", b"OPTIONS", b"HEAD", b"TRACE", b"CONNECT", b"PRI", b"\x16\x03\x01", b""]
ADDRESSES = [
    b"/graphql",
    b"/graphql/",
    b"/",
    b"*",
    b"//x",
    b"/%00",
    b"/%ff",
    b"/\xff",
    b"http://x/graphql",
    b"/a?b#c",
    b"",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1 x", b""]

Talk = Iterable[bytes]


def connections(chance: random.Random) -> Iterator[tuple[str, list[bytes]]]:
    """Names and what is to be sent, piece after piece: each of the known attacks, then variations without end."""
    while True:
        for name, attack in ATTACKS.items():
            yield name, list(attack(chance))
        for _ in range(len(ATTACKS)):
            yield "odd head", list(odd_head(chance))
            yield "odd frames", list(odd_frames(chance))
            yield "cut", cut(chance, b"".join(request(b"POST", b"/graphql", [b"Content-Length: 2"], b"{}")))


# ---------------------------------------------------------------- HTTP


def request(method: bytes, address: bytes, headers: Iterable[bytes] = (), body: bytes = b"") -> Talk:
    yield CRLF.join([b"%b %b HTTP/1.1" % (method, address), b"Host: localhost", *headers, b"", b""])
    if body:
        yield body


def long_head(chance: random.Random) -> Talk:
    """An address, a name or a value that goes on and on."""
    yield chance.choice([b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\nHost: "])
    yield from again(chance.choice([b"a", b"%41", b"\xff", b"a/", b";", b" "]))
    yield b" HTTP/1.1\r\n\r\n"


def many_headers(chance: random.Random) -> Talk:
    yield b"GET /graphql HTTP/1.1\r\n"
    yield from again(chance.choice([b"a: b\r\n", b"a:\r\n", b"Connection: close\r\n", b"Host: x\r\n"]))
    yield CRLF


def empty_lines(_: random.Random) -> Talk:
    yield from again(CRLF)


def sent_ahead(chance: random.Random) -> Talk:
    """Requests that do not wait for answers."""
    yield from again(b"".join(request(b"GET", chance.choice([b"/health/live", b"/nowhere", b"/graphql"]))))


def trailers(chance: random.Random) -> Talk:
    yield from chunked(b"2\r\n{}\r\n0\r\n")
    yield from again(chance.choice([b"a: b\r\n", b"a", b"a: " + b"b" * 1000]))


def chunk_extension(chance: random.Random) -> Talk:
    yield from chunked(b"2;")
    yield from again(chance.choice([b"a", b"a=b;", b'a="', b"\t"]))


def tiny_chunks(chance: random.Random) -> Talk:
    yield from chunked(b"")
    yield from again(chance.choice([b"1\r\n \r\n", b"1\r\n[\r\n", b"0000000000001\r\n \r\n"]))


def odd_chunk_size(chance: random.Random) -> Talk:
    yield from chunked(chance.choice([b"f" * 16, b"f" * 10_000, b"-1", b"0x1", b"1 ", b"\n"]) + CRLF + b"{}" * 100)


def chunked(body: bytes) -> Talk:
    return request(b"POST", b"/graphql", [b"Content-Type: application/json", b"Transfer-Encoding: chunked"], body)


def two_lengths(chance: random.Random) -> Talk:
    """Smuggling."""
    lengths = chance.choice(
        [[b"Content-Length: 2", b"Content-Length: 3"], [b"Content-Length: 2, 3"], [b"Content-Length: +2"]]
    )
    return request(b"POST", b"/graphql", [*lengths, b"Transfer-Encoding: chunked"], b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n")


def half(chance: random.Random) -> Talk:
    """A head, a body or a form that does not end."""
    kind = chance.choice([b"application/json", b"multipart/form-data; boundary=x"])
    headers = [b"Content-Type: " + kind, b"GraphQL-Require-Preflight: 1", b"Content-Length: 1000000"]
    whole = b"".join(
        request(b"POST", b"/graphql", headers, b'--x\r\nContent-Disposition: form-data; name="operations"\r\n')
    )
    yield whole[: chance.randrange(1, len(whole))]


def unread_body(_: random.Random) -> Talk:
    """Behind an answer that did not wait for it."""
    yield from request(b"GET", b"/health/live", [b"Content-Length: 100000000"])
    yield from again(b"a")


def odd_head(chance: random.Random) -> Talk:
    headers = [b"%b: %b" % (chance.choice(NAMES), chance.choice(ODD)) for _ in range(chance.randrange(20))]
    first = b" ".join((chance.choice(METHODS), chance.choice(ADDRESSES), chance.choice(VERSIONS)))
    yield chance.choice([CRLF, b"\n", b"\r"]).join([first, *headers, b"", chance.choice(ODD)])


# ---------------------------------------------------------------- WebSockets


def frame(opcode: int, data: bytes = b"", *, first: int = 0x80) -> bytes:
    """A client's, masked with nothing; `first`: the bits before the opcode, FIN by default."""
    if len(data) < 126:
        return bytes([first | opcode, 0x80 | len(data)]) + bytes(4) + data
    return bytes([first | opcode, 0xFE]) + len(data).to_bytes(2) + bytes(4) + data


def opened(chance: random.Random) -> Talk:
    """A socket, admitted or not."""
    yield from request(b"GET", b"/graphql", HANDSHAKE)
    if chance.random() < 0.7:
        yield frame(1, INIT)


def fragments(chance: random.Random) -> Talk:
    yield from opened(chance)
    yield frame(1, b"{", first=0)
    yield from again(frame(0, chance.choice([b"", b" "]), first=0))


def control_frames(chance: random.Random) -> Talk:
    yield from opened(chance)
    yield from again(frame(chance.choice([9, 10]), b"x" * chance.choice([0, 1, 125])))


def tiny_messages(chance: random.Random) -> Talk:
    yield from opened(chance)
    messages = [b"", b"{}", b'{"type": "ping"}', b'{"type": "pong"}', b'{"type": "complete", "id": "1"}', INIT]
    yield from again(frame(1, chance.choice(messages)))


def large_message(chance: random.Random) -> Talk:
    """Of nested or many values, cut into fragments."""
    yield from opened(chance)
    part = chance.choice([b"[", b"[],", b'{"a":', b'"\\u0000",', b"1e9,", b" "])
    yield frame(1, b"[", first=0)
    yield from again(frame(0, (part * 60_000)[:60_000], first=0))


def endless_frame(chance: random.Random) -> Talk:
    yield from opened(chance)
    yield bytes([0x81, 0xFF]) + chance.choice([2**63 - 1, 2**32, 2**24, 60_000]).to_bytes(8) + bytes(4)
    yield from again(b"a")


def after_the_close(chance: random.Random) -> Talk:
    yield from opened(chance)
    yield frame(8, (1000).to_bytes(2))
    yield from again(frame(9))


def odd_handshake(chance: random.Random) -> Talk:
    headers = [*HANDSHAKE]
    headers[chance.randrange(len(headers))] += chance.choice(ODD)
    headers.insert(
        chance.randrange(len(headers)), chance.choice([b"Content-Length: 5", b"A: " + b"a" * 9000, b"Host: x"])
    )
    return request(b"GET", chance.choice(ADDRESSES), headers, frame(1, INIT))


def odd_frames(chance: random.Random) -> Talk:
    yield from opened(chance)
    for _ in range(chance.randrange(1, 30)):
        data = chance.choice([*ODD, INIT, b'{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}'])
        yield frame(chance.randrange(16), data, first=chance.choice([0, 0x80, 0x80, 0x80, 0xC0, 0x90]))


# ---------------------------------------------------------------- pieces


def again(part: bytes) -> Talk:
    """Many megabytes of it."""
    piece = part * max(1, PIECE // len(part))
    for _ in range(MUCH // len(piece)):
        yield piece


def cut(chance: random.Random, whole: bytes) -> list[bytes]:
    """In pieces of any size, the last ones missing."""
    pieces, at = list[bytes](), 0
    while at < len(whole) and chance.random() < 0.95:
        size = chance.randrange(1, 30)
        pieces.append(whole[at : at + size])
        at += size
    return pieces


ATTACKS: dict[str, Callable[[random.Random], Talk]] = {
    "long head": long_head,
    "many headers": many_headers,
    "empty lines": empty_lines,
    "sent ahead": sent_ahead,
    "trailers": trailers,
    "chunk extension": chunk_extension,
    "tiny chunks": tiny_chunks,
    "odd chunk size": odd_chunk_size,
    "two lengths": two_lengths,
    "half": half,
    "unread body": unread_body,
    "fragments": fragments,
    "control frames": control_frames,
    "tiny messages": tiny_messages,
    "large message": large_message,
    "endless frame": endless_frame,
    "after the close": after_the_close,
    "odd handshake": odd_handshake,
}
