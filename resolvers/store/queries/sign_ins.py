"""Whose a sign-in is, and what they may do: asked before every operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from resolvers.base.roles import Role
from resolvers.store.postgres.database import Database

HOLDING: Final = """SELECT sign_ins.id, user_id, role FROM users JOIN sign_ins ON user_id = users.id
  WHERE sign_ins.id = ANY($1::uuid[]) AND revoked_at IS NULL AND is_active"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who is signed in."""

    user_id: int
    role: Role


async def find_holders(database: Database, sign_ins: Sequence[UUID]) -> dict[UUID, Holder | None]:
    """By the sign-in; None for one that does not hold, or not any more."""
    async with database.driver() as connection:
        rows = await connection.fetch(HOLDING, sign_ins)
    return {**dict.fromkeys(sign_ins), **{row["id"]: Holder(row["user_id"], Role(row["role"])) for row in rows}}
