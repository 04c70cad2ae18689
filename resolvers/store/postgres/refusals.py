"""Why the database cannot be connected to, in one sentence that says what to do about it."""

import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

import asyncpg

from resolvers.store.postgres.database_url import Address

# By SQLSTATE. {user}, {database} and the server's own words, {said}, are filled in.
BY_STATE: Final = {
    "28P01": "it refuses the password of the user {user}, or wants one. Check DATABASE_URL.",
    "28000": "it does not let the user {user} in ({said}). Check DATABASE_URL, or the server's pg_hba.conf.",
    "3D000": 'it has no database "{database}". Check DATABASE_URL, or make it with `bcom-graphql migrate --create`.',
    "42501": "the user {user} may not connect to it ({said}). GRANT CONNECT ON DATABASE {database} TO {user}.",
    "53300": "it has no connection left ({said}). Lower POOL_SIZE, or raise its max_connections.",
    "57P03": "it is starting up or shutting down ({said}). Try again shortly.",
    "55000": "it takes no connections to this database ({said}).",
}
WANTS_TLS: Final = "it wants TLS ({said}). Add sslmode=require to DATABASE_URL."
START_UP: Final = (
    "there is a pooler that takes no such parameters ({said}). Take `options` out of DATABASE_URL, or have PgBouncer"
    " take them: ignore_startup_parameters = options."
)


def explain(error: BaseException, where: Address) -> str:
    """One sentence, and what to do."""
    if isinstance(error, asyncpg.PostgresError):
        template = _of_server(error)
        user, database = where.user or "(the default)", where.database or where.user or "(the default)"
        return template.format(user=user, database=database, said=_first_line(error))
    return next(
        (words(error) for kind, words in BY_TYPE if isinstance(error, kind)),
        f"{_first_line(error)}. Check DATABASE_URL.",
    )


def _of_server(error: asyncpg.PostgresError) -> str:
    said = str(error)
    if "startup parameter" in said:
        return START_UP
    if error.sqlstate == "28000" and ("no encryption" in said or "SSL off" in said):
        return WANTS_TLS
    return BY_STATE.get(error.sqlstate or "", "{said}.")


def _of_system(error: BaseException) -> str:
    """`asyncio` tells of several addresses of one host in one error without a number."""
    said = _first_line(error)
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in said:
        return "nobody listens there (connection refused). Check host and port, and that the server runs."
    if "rejected SSL upgrade" in said:
        return "it does not speak TLS, which sslmode in DATABASE_URL asks for."
    return f"{said}."


def _of_certificate(error: BaseException) -> str:
    said = str(getattr(error, "verify_message", "")).rstrip(".")
    if "mismatch" in said:
        return f"its certificate is another host's ({said}). Name the host in DATABASE_URL as its certificate does."
    return (
        f"its certificate is not trusted ({said}). Name the authority's certificate with sslrootcert in DATABASE_URL."
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")


# The first that fits.
BY_TYPE: Final[tuple[tuple[type[BaseException], Callable[[BaseException], str]], ...]] = (
    (TimeoutError, lambda _: "it does not answer in time. Check host and port, and the firewalls between."),
    (socket.gaierror, lambda _: "there is no host of this name. Check DATABASE_URL."),
    (ssl.SSLCertVerificationError, _of_certificate),
    (ssl.SSLError, lambda error: f"TLS fails ({_first_line(error)})."),
    (FileNotFoundError, lambda _: "there is no such socket. Check the host in DATABASE_URL, and that the server runs."),
    (ConnectionResetError, lambda _: "it hangs up. Check that a PostgreSQL listens on this port."),
    (asyncpg.ConnectionDoesNotExistError, lambda _: "it hangs up. Check that a PostgreSQL listens on this port."),
    (asyncpg.TargetServerAttributeNotMatched, lambda _: "no host is what target_session_attrs asks for."),
    (UnicodeError, lambda _: "the host's name cannot be one. Check DATABASE_URL."),
    (OSError, _of_system),
)
