"""Reading DATABASE_URL, in the many ways that platforms and other drivers write it.

The parameters are libpq's (PostgreSQL documentation, 34.1.2 "Parameter Key Words"), and a few of other drivers.
"""

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

EXAMPLE: Final = "postgresql://user:password@host/database"
SCHEME = re.compile(
    r"(jdbc:)?(postgres|postgresql)(\+(asyncpg|psycopg|psycopg2|psycopg2cffi|psycopg_async|pg8000))?://", re.IGNORECASE
)
PORT: Final = 5432
CONNECT_SECONDS: Final = 10.0
FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")

# The driver reads these itself, and means the same as libpq.
OF_THE_DRIVER: Final = {
    *("sslmode", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", *FILES),
    *("target_session_attrs", "passfile", "service", "krbsrvname", "gsslib"),
}
# Wishes of platforms and other drivers that change nothing here. SCRAM's channel binding is none of asyncpg's.
WITHOUT_EFFECT: Final = {
    *("channel_binding", "sslcompression", "sslsni", "min_protocol_version", "max_protocol_version"),
    *("connection_limit", "pool_timeout", "prepareThreshold", "prepared_statement_cache_size", "statement_cache_size"),
    *("supa", "workaround", "uselibpqcompat", "sslaccept"),
}
# What is asked for by these is what happens anyway; anything else cannot be had.
ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "client_encoding": ("utf8", "utf-8", "auto", "unicode"),
    "gssencmode": ("disable", "prefer"),
    "load_balance_hosts": ("disable",),
    "schema": ("public",),
}
# Of the driver's, those that are words; its own complaints of others are for programmers.
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}
TLS: Final[Mapping[str, str]] = {"true": "require", "1": "require", "false": "disable", "0": "disable"}  # `ssl=`


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When a silent peer counts as gone, in whole seconds; see `man 7 tcp`."""

    is_on: bool = True
    idle: int = 30
    interval: int = 10
    count: int = 3
    user_timeout_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is, and how to connect to it. Its text says where, and never with which password."""

    hosts: tuple[tuple[str, int], ...] = ()  # none: the driver looks for a socket, then on this machine
    database: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    for_driver: Mapping[str, str] = field(default_factory=dict, repr=False)  # a key's password may be among them
    at_start: Mapping[str, str] = field(default_factory=dict)  # start-up parameters of the session
    seconds: float = CONNECT_SECONDS
    keep_alive: KeepAlive = KeepAlive()
    is_behind_pooler: bool = False

    def __str__(self) -> str:
        hosts = ",".join(host if host.startswith("/") else f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        return f"{hosts or 'this machine'}, database {self.database or self.user or '(the default)'}"

    def with_database(self, name: str) -> "Address":
        return replace(self, database=name)

    def arguments(self) -> dict[str, Any]:
        """What `asyncpg.connect` takes."""
        given = dict(self.for_driver)
        arguments: dict[str, Any] = {"user": self.user, "password": self.password, "database": self.database}
        if self.hosts:
            hosts, ports = zip(*self.hosts, strict=True)
            arguments |= {"host": [*hosts], "port": [*ports]}
        if given.get("sslrootcert") == "system":
            given = {name: value for name, value in given.items() if name not in ("sslrootcert", "sslmode")}
            arguments["ssl"] = ssl.create_default_context()
        return arguments | {"dsn": f"postgresql://?{urlencode(given)}" if given else None, "timeout": self.seconds}


def parse(url: str) -> Address:
    """Raises ValueError, whose message says what is wrong in one sentence and holds no password."""
    text = url.strip().strip("\"'").strip()
    scheme = SCHEME.match(text)
    if scheme is None:
        raise ValueError(f"must look like {EXAMPLE}")
    rest, _, query = text[scheme.end() :].partition("?")
    credentials, at, location = rest.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, _, database = location.partition("/")
    parameters = _joined(parse_qsl(query))  # an empty one counts as not given, as with libpq
    address = Address(
        hosts=_hosts(parameters.pop("host", "") or hosts, parameters.pop("port", "")),
        database=parameters.pop("dbname", "") or unquote(database) or None,
        user=parameters.pop("user", "") or unquote(user) or None,
        password=parameters.pop("password", "") or (unquote(password) if at and password else None),
    )
    return _with(address, parameters)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Hosts may be several parameters; of others the last counts."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        several = name in ("host", "port") and name in joined
        joined[name] = f"{joined[name]},{value}" if several else value
    return joined


def _hosts(hosts: str, ports: str) -> tuple[tuple[str, int], ...]:
    listed = [_host_and_port(unquote(one)) for one in hosts.split(",")] if hosts else []
    given = [_port(port) for port in ports.split(",") if port]
    if given and not listed:
        listed = [("localhost", None)]
    if len(given) not in (0, 1, len(listed)):
        raise ValueError(f"has {len(given)} ports for {len(listed)} hosts")
    spread = given * len(listed) if len(given) == 1 else given or [PORT] * len(listed)
    return tuple((host, own or other) for (host, own), other in zip(listed, spread, strict=True))


def _host_and_port(text: str) -> tuple[str, int | None]:
    """A socket's folder may contain colons."""
    if text.startswith("/"):
        return text, None
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d*))?", text)
    if found is None:
        raise ValueError(f"has a host that is none; it must look like {EXAMPLE}, with %3F for a ? in a password")
    return found["v6"] or found["host"], _port(found["port"]) if found["port"] else None


def _with(address: Address, given: dict[str, str]) -> Address:
    """The address with what its parameters say."""
    for_driver = {name: given.pop(name) for name in [*given] if name in OF_THE_DRIVER}
    if (tls := given.pop("ssl", None)) is not None:
        for_driver.setdefault("sslmode", TLS.get(tls.lower(), tls))
    if for_driver.get("sslmode") == "no-verify":
        for_driver["sslmode"] = "require"
    _check_words(for_driver)
    _check_files(for_driver)
    for name, possible in ONLY.items():
        if (wanted := given.pop(name, possible[0])).lower() not in possible:
            raise ValueError(f"asks for {name}={wanted}, which cannot be had; leave it out")
    name = given.pop("application_name", "") or given.pop("fallback_application_name", "") or "bcom-graphql"
    given.pop("fallback_application_name", None)
    at_start = {"application_name": name} | ({"options": given.pop("options")} if "options" in given else {})
    seconds = _whole("connect_timeout", given.pop("connect_timeout", "0")) or CONNECT_SECONDS
    is_behind_pooler = given.pop("pgbouncer", "false").lower() in ("true", "1")
    keep_alive = _keep_alive(given)
    if unknown := sorted(set(given) - WITHOUT_EFFECT):
        raise ValueError(f"has parameters that are not known here: {', '.join(unknown)}")
    return replace(
        address,
        for_driver=for_driver,
        at_start=at_start,
        seconds=float(seconds),
        keep_alive=keep_alive,
        is_behind_pooler=is_behind_pooler,
    )


def _keep_alive(given: dict[str, str]) -> KeepAlive:
    usual = KeepAlive()
    return KeepAlive(
        is_on=given.pop("keepalives", "1") != "0",
        idle=_whole("keepalives_idle", given.pop("keepalives_idle", "0")) or usual.idle,
        interval=_whole("keepalives_interval", given.pop("keepalives_interval", "0")) or usual.interval,
        count=_whole("keepalives_count", given.pop("keepalives_count", "0")) or usual.count,
        user_timeout_ms=_whole("tcp_user_timeout", given.pop("tcp_user_timeout", "0")) or usual.user_timeout_ms,
    )


def _check_words(given: Mapping[str, str]) -> None:
    for name, possible in WORDS.items():
        if name in given and given[name] not in possible:
            raise ValueError(f"has {name}={given[name]}, which must be one of {', '.join(possible)}")


def _check_files(given: Mapping[str, str]) -> None:
    for name in FILES:
        if name in given and given[name] != "system" and not Path(given[name]).expanduser().is_file():
            raise ValueError(f"names a file that is not there: {name}={given[name]}")


def _port(text: str) -> int:
    """The system takes greater numbers, and means others by them."""
    if not 0 < (port := _whole("port", text)) < 65_536:
        raise ValueError(f"has a port that is none: {text}")
    return port


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", text.strip()):
        raise ValueError(f"has a {name} that is no whole number: {text}")
    return max(0, int(text))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
