"""Sessions: begun by signing in, continued by refresh tokens, ended for good."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts import guessing
from resolvers.base import tokens
from resolvers.base.access import SYSTEM, Caller
from resolvers.base.errors import InvalidCredentials, Unauthenticated
from resolvers.context import Context
from resolvers.store.events.log import Event, publish
from resolvers.store.tables.core import RefreshToken, SignIn, User

ACCESS_TOPIC = "access"


@dataclass(frozen=True)
class SignedIn:
    """The tokens of a user who has signed in."""

    access_token: str
    refresh_token: str
    expires_at: datetime
    user: User


async def begin(context: Context, session: AsyncSession, user: User) -> SignedIn:
    """Signs the user in."""
    family = SignIn(user_id=user.id, network=guessing.fingerprint_network(context, user.id))
    session.add(family)
    await session.flush()
    await session.refresh(user)
    return await _issue(context, session, user, family.id)


async def refresh(context: Context, refresh_token: str) -> SignedIn:
    """Rotates the refresh token: each works once; using one again ends the session. Raises InvalidCredentials."""
    async with context.database.write() as session:
        signed_in = await _rotate(context, session, refresh_token)
    if signed_in is None:
        raise InvalidCredentials("This refresh token is not valid any more; sign in again.")
    return signed_in


async def _rotate(context: Context, session: AsyncSession, refresh_token: str) -> SignedIn | None:
    token = await session.get(RefreshToken, tokens.digest(refresh_token), with_for_update=True)
    if token is None:
        return None
    family = await session.get_one(SignIn, token.sign_in_id)
    if token.used_at:  # stolen, or the thief's victim comes second: nobody goes on with this family
        await end(context, session, SignIn.id == family.id)
        return None
    user = await session.get_one(User, family.user_id)
    if family.revoked_at or token.expires_at <= context.real_time or not user.is_active:
        return None
    token.used_at = context.real_time
    return await _issue(context, session, user, family.id)


async def logout(context: Context, refresh_token: str) -> datetime:
    """Ends the token's session; an unknown token is no error."""
    async with context.database.write() as session:
        token = await session.get(RefreshToken, tokens.digest(refresh_token))
        if token:
            await end(context, session, SignIn.id == token.sign_in_id)
    return context.real_time


async def identify(context: Context, bearer: str) -> Caller:
    """Returns the caller of an access token. Raises Unauthenticated."""
    claims = context.services.tokens.check(bearer)
    holder = await context.services.holders.load(claims.sign_in_id)
    if holder is None or holder.user_id != claims.user_id:
        raise Unauthenticated("You have been signed out; sign in again.")
    return Caller(claims.user_id, holder.role, claims.sign_in_id, claims.expires_at)


async def confirm(session: AsyncSession, caller: Caller) -> None:
    """Checks the caller's access again, behind a lock: it may have been revoked while they waited.

    Raises Unauthenticated.
    """
    if caller is SYSTEM:
        return
    holds = (SignIn.id == caller.sign_in_id, SignIn.revoked_at.is_(None), User.is_active, User.role == caller.role)
    if await session.scalar(select(SignIn.id).join(User, User.id == SignIn.user_id).where(*holds)) is None:
        raise Unauthenticated("You have been signed out or given another role; sign in again.")


async def end(context: Context, session: AsyncSession, which: ColumnElement[bool]) -> None:
    """Ends sessions, and the sockets that were opened with them."""
    query = update(SignIn).where(which, SignIn.revoked_at.is_(None)).values(revoked_at=context.real_time)
    for user_id in set(await session.scalars(query.returning(SignIn.user_id))):
        publish_change(session, user_id)


def publish_change(session: AsyncSession, user_id: int) -> None:
    """Has every process check this user's open sockets again."""
    publish(session, Event(ACCESS_TOPIC, "CHANGED", str(user_id), {}))


async def _issue(context: Context, session: AsyncSession, user: User, sign_in_id: UUID) -> SignedIn:
    refresh_token = tokens.new_secret()
    expires_at = context.real_time + tokens.REFRESH_TOKEN_LIFE
    session.add(RefreshToken(hash=tokens.digest(refresh_token), sign_in_id=sign_in_id, expires_at=expires_at))
    access_token, expires_at = context.services.tokens.issue(user.id, sign_in_id, context.real_time)
    return SignedIn(access_token, refresh_token, expires_at, user)
