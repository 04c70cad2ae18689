"""API keys: long-lived credentials for collectors and servers, stored as hashes and shown once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts.sessions import confirm, publish_change
from resolvers.base import tokens
from resolvers.base.access import Caller
from resolvers.base.errors import InvalidInput, NotFound, Unauthenticated
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.lists.pagination import Window
from resolvers.store.tables.core import ApiKey, User

KEY: Final = """SELECT api_keys.id, user_id, api_keys.role, users.role AS owners_role, last_used_at, expires_at
  FROM api_keys JOIN users ON users.id = user_id
  WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND is_active"""
USE_NOTED_EVERY = timedelta(minutes=1)  # a collector's every request must not become a write


@dataclass(frozen=True)
class CreatedKey:
    api_key: ApiKey
    secret: str


async def create(context: Context, name: str, role: Role, expires_at: datetime | None) -> CreatedKey:
    """Creates a key with at most the caller's role. Raises InvalidInput, Forbidden."""
    context.require(role, f"create an API key with the role {role}")
    caller = context.require_person(role, "create API keys")
    if not 1 <= len(name.strip()) <= 200 or "\0" in name:
        raise InvalidInput("A name has 1 to 200 characters, none of them U+0000.", ["name"])
    if expires_at and expires_at <= context.real_time:
        raise InvalidInput("`expiresAt` must be in the future.", ["expiresAt"])
    secret = tokens.new_secret(tokens.API_KEY_PREFIX)
    async with context.database.write() as session:
        await _refuse_too_many(context, session, caller)
        key = ApiKey(
            user_id=caller.user_id, name=name.strip(), role=role, hash=tokens.digest(secret), expires_at=expires_at
        )
        session.add(key)
        await session.flush()
        await session.refresh(key)
    return CreatedKey(key, secret)


async def _refuse_too_many(context: Context, session: AsyncSession, caller: Caller) -> None:
    """Raises InvalidInput if the user has the most keys allowed; concurrent callers wait for each other."""
    await session.get_one(User, caller.user_id, with_for_update={"key_share": True})
    await confirm(session, caller)
    is_active = ApiKey.revoked_at.is_(None) & (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > context.real_time))
    query = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == caller.user_id, is_active)
    most = context.services.keys_per_user
    if (await session.scalar(query) or 0) >= most:
        raise InvalidInput(
            f"You have {most} active API keys, which is the most allowed. Revoke one that you do not use."
        )


async def list_keys(context: Context, first: int | None, after: int | None) -> list[ApiKey]:
    """Returns the caller's keys, or everybody's for an admin, oldest first. Raises InvalidInput, Forbidden."""
    caller = context.require_person(Role.VIEWER, "list API keys")
    query = select(ApiKey).order_by(ApiKey.id).limit(Window(first).size)
    if caller.role is not Role.ADMIN:
        query = query.filter_by(user_id=caller.user_id)
    if after is not None:
        query = query.where(ApiKey.id > after)
    async with context.database.read() as session:
        return list(await session.scalars(query))


async def revoke(context: Context, key_id: int) -> ApiKey:
    """Revokes a key of the caller, or anybody's as an admin; again is no error. Raises NotFound."""
    caller = context.require_person(Role.VIEWER, "revoke API keys")
    async with context.database.write() as session:
        key = await session.get(ApiKey, key_id, with_for_update=True)
        if key is None or (key.user_id != caller.user_id and caller.role is not Role.ADMIN):
            raise NotFound("API key")
        key.revoked_at = key.revoked_at or context.real_time
        publish_change(session, key.user_id)
    return key


async def identify(context: Context, secret: str) -> Caller:
    """Returns the caller of a key, with the lesser of its role and its owner's. Raises Unauthenticated."""
    async with context.database.driver() as connection:  # before every operation: this must be quick
        key = await connection.fetchrow(KEY, tokens.digest(secret), context.real_time)
    if key is None:
        raise Unauthenticated("This API key is unknown, expired or revoked.")
    await _note_use(context, key["id"], key["last_used_at"])
    role = min(Role(key["role"]), Role(key["owners_role"]), key=lambda role: role.rank)
    return Caller(key["user_id"], role, expires_at=key["expires_at"].timestamp() if key["expires_at"] else None)


async def _note_use(context: Context, key_id: int, last_used_at: datetime | None) -> None:
    if last_used_at and context.real_time - last_used_at < USE_NOTED_EVERY:
        return
    async with context.database.write() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=context.real_time))
