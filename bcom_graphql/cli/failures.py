"""Which exceptions a command's user can do something about, and what to do."""

from typing import Any

import asyncpg
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from resolvers.base.errors import ClientError
from resolvers.store.postgres.embedded import EmbeddedFailed


def explain(error: Exception) -> str | None:
    """Returns what to tell the user; None for a bug of ours."""
    if isinstance(error, ValidationError):
        return "\n".join(f"{'.'.join(map(str, e['loc'])).upper()} {_reason(e)}".strip() for e in error.errors())
    if isinstance(error, (ClientError, EmbeddedFailed)):
        return getattr(error, "reason", "") or str(error)
    if isinstance(error, (SQLAlchemyError, asyncpg.PostgresError, OSError)):
        return f"The database cannot be used: {getattr(error, 'orig', None) or error}\nCheck DATABASE_URL."
    return None


def _reason(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
