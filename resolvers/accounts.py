"""People: registering, signing in and out, roles."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers import tokens
from resolvers.access import SYSTEM, Caller
from resolvers.context import Context, network_of
from resolvers.errors import Conflict, InvalidCredentials, InvalidInput, NotFound, Unauthenticated
from resolvers.listings import Listing, made_once
from resolvers.paging import Page, Window, page
from resolvers.rates import Budget
from resolvers.store.events import Event, publish
from resolvers.store.tables import RefreshToken, Role, SignIn, User

REGISTER_LOCK = 0x6263_6F6D_0002
EMAIL = re.compile(r"[^@\s\0]+@[^@\s\0]+\.[^@\s\0]+")
ACCESS_TOPIC = "access"


@dataclass(frozen=True)
class SignedIn:
    access_token: str
    refresh_token: str
    expires_at: datetime
    user: User


async def register(context: Context, email: str, password: str, full_name: str | None) -> SignedIn:
    """The first person becomes ADMIN. Raises InvalidInput, Conflict."""
    email = check_email(email)
    _check_password(password, ["input", "password"])
    _check_name(full_name)
    await _attempt(context, email)
    hash = await tokens.hash_password(password)
    try:
        async with context.database.write() as session:
            await session.execute(select(func.pg_advisory_xact_lock(REGISTER_LOCK)))
            first = not await session.scalar(select(exists(select(User))))
            user = User(
                email=email,
                full_name=full_name,
                role=Role.ADMIN if first else Role.VIEWER,
                is_active=True,
                password_hash=hash,
            )
            session.add(user)
            await session.flush()
            return await _sign_in(context, session, user)
    except IntegrityError:
        raise Conflict("Somebody has registered with this e-mail address already; sign in instead.") from None


async def login(context: Context, email: str, password: str) -> SignedIn:
    """Raises InvalidCredentials, without a hint at what was wrong; RateLimited after too many attempts."""
    email = email.strip().lower()
    await _attempt(context, email)
    async with context.database.read() as session:
        known = await session.scalar(select(User).filter_by(email=email)) if EMAIL.fullmatch(email) else None
    matches = await tokens.password_matches(password, known.password_hash if known else None)
    if matches:
        await _forgive(context, email)
    async with context.database.write() as session:
        user = await _unchanged(session, known) if known and matches else None
        if user and user.is_active:
            return await _sign_in(context, session, user)
    raise InvalidCredentials("This e-mail address and password do not belong together.")


async def refresh(context: Context, refresh_token: str) -> SignedIn:
    """Rotate: each token works once, and using it again ends the whole family. Raises InvalidCredentials."""
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
        await _revoke(context, session, SignIn.id == family.id)
        return None
    user = await session.get_one(User, family.user_id)
    if family.revoked_at or token.expires_at <= context.now or not user.is_active:
        return None
    token.used_at = context.now
    return await _issue(context, session, user, family.id)


async def logout(context: Context, refresh_token: str) -> datetime:
    """End the token's family; a token that is none ends nothing, and is no error."""
    async with context.database.write() as session:
        token = await session.get(RefreshToken, tokens.digest(refresh_token))
        if token:
            await _revoke(context, session, SignIn.id == token.sign_in_id)
    return context.now


async def change_password(context: Context, current: str, new: str) -> SignedIn:
    """Ends all other sign-ins. Raises InvalidInput, InvalidCredentials."""
    caller = context.require(Role.VIEWER, "change your password")
    _check_password(new, ["new"])
    async with context.database.read() as session:
        known = await session.get_one(User, caller.user_id)
    await _attempt(context, known.email)
    matches = await tokens.password_matches(current, known.password_hash)
    if matches:
        await _forgive(context, known.email)
    hash = await tokens.hash_password(new)
    async with context.database.write() as session:
        user = await _unchanged(session, known) if matches else None
        if user:
            user.password_hash = hash
            await _revoke(context, session, SignIn.user_id == user.id)
            return await _sign_in(context, session, user)
    raise InvalidCredentials("This is not your current password.")


async def _attempt(context: Context, email: str) -> None:
    """Guessing gets slower, by account and by address. Raises RateLimited."""
    if context.caller is SYSTEM:
        return
    await context.services.rates.spend(Budget.SIGN_INS_BY_ACCOUNT, _account(email))
    await context.services.rates.spend(Budget.SIGN_INS_BY_ADDRESS, network_of(context.address))


async def _forgive(context: Context, email: str) -> None:
    """Who knows the password has not been guessing."""
    await context.services.rates.forgive(Budget.SIGN_INS_BY_ACCOUNT, _account(email))


def _account(email: str) -> str:
    return tokens.digest(email).hex()  # addresses are nobody's business in a shared storage


async def _unchanged(session: AsyncSession, known: User) -> User | None:
    """The user, locked, unless the password that has just been verified was changed meanwhile."""
    same = (User.id == known.id, User.password_hash == known.password_hash)
    user: User | None = await session.scalar(select(User).where(*same).with_for_update(key_share=True))
    return user


async def viewer(context: Context) -> User | None:
    """The caller; None when anonymous."""
    if context.caller is None:
        return None
    return await context.loaders.of(User).load(context.caller.user_id)


async def users(context: Context, role: Role | None, is_active: bool | None, window: Window) -> Page[User]:
    context.require(Role.ADMIN, "list users")
    return await page(context.database, users_listing(role, is_active), window, context.columns_of(User))


@made_once
def users_listing(role: Role | None, is_active: bool | None) -> Listing[User]:
    conditions: list[ColumnElement[bool]] = []
    if role is not None:
        conditions.append(User.role == role)
    if is_active is not None:
        conditions.append(User.is_active == is_active)
    return Listing(User, (User.id,), conditions=tuple(conditions))


async def update_user(
    context: Context, user_id: int, full_name: str | None, role: Role | None, is_active: bool | None
) -> User:
    """Change what is given. Takes effect at once, on open sockets too. Raises NotFound, Conflict, InvalidInput."""
    context.require(Role.ADMIN, "manage users")
    _check_name(full_name)
    async with context.database.write() as session:
        await session.execute(select(func.pg_advisory_xact_lock(REGISTER_LOCK)))  # two admins demoting each other
        user = await session.get(User, user_id, with_for_update=True)
        if user is None:
            raise NotFound("user")
        await _keep_an_admin(session, user, role, is_active)
        if (role or user.role) is not user.role or is_active is False:
            tell(session, user.id)
        user.full_name = user.full_name if full_name is None else full_name
        user.role = role or user.role
        user.is_active = user.is_active if is_active is None else is_active
        if not user.is_active:
            await _revoke(context, session, SignIn.user_id == user.id)
        await session.flush()
        await session.refresh(user)
    return user


async def _keep_an_admin(session: AsyncSession, user: User, role: Role | None, is_active: bool | None) -> None:
    if user.role is not Role.ADMIN or not user.is_active or (role in (None, Role.ADMIN) and is_active is not False):
        return
    admins = select(func.count()).select_from(User).where(User.role == Role.ADMIN, User.is_active)
    if await session.scalar(admins) == 1:
        raise Conflict("This is the last active admin; make somebody else one first.")


async def identify(context: Context, bearer: str) -> Caller:
    """Who an access token belongs to, if they still may. Raises Unauthenticated."""
    claims = context.services.tokens.check(bearer)
    holder = await context.services.holders.load(claims.sign_in_id)
    if holder is None or holder.user_id != claims.user_id:
        raise Unauthenticated("You have been signed out; sign in again.")
    return Caller(claims.user_id, holder.role, claims.sign_in_id, claims.expires_at)


async def _sign_in(context: Context, session: AsyncSession, user: User) -> SignedIn:
    family = SignIn(user_id=user.id)
    session.add(family)
    await session.flush()
    await session.refresh(user)
    return await _issue(context, session, user, family.id)


async def _issue(context: Context, session: AsyncSession, user: User, sign_in_id: UUID) -> SignedIn:
    refresh_token = tokens.new_secret()
    expires_at = context.now + tokens.REFRESH_TOKEN_LIFE
    session.add(RefreshToken(hash=tokens.digest(refresh_token), sign_in_id=sign_in_id, expires_at=expires_at))
    access_token, expires_at = context.services.tokens.issue(user.id, sign_in_id, context.now)
    return SignedIn(access_token, refresh_token, expires_at, user)


async def _revoke(context: Context, session: AsyncSession, which: ColumnElement[bool]) -> None:
    query = update(SignIn).where(which, SignIn.revoked_at.is_(None)).values(revoked_at=context.now)
    for user_id in set(await session.scalars(query.returning(SignIn.user_id))):
        tell(session, user_id)


def tell(session: AsyncSession, user_id: int) -> None:
    """Every process checks this user's open sockets again."""
    publish(session, Event(ACCESS_TOPIC, "CHANGED", str(user_id), {}))


def check_email(email: str) -> str:
    """In lower case. Raises InvalidInput."""
    email = email.strip().lower()
    if len(email) > 254 or not EMAIL.fullmatch(email):
        raise InvalidInput("This is no e-mail address; it should look like name@example.com.", ["input", "email"])
    return email


def _check_password(password: str, path: list[str]) -> None:
    if not 8 <= len(password) <= 128:
        raise InvalidInput(f"A password has 8 to 128 characters; this one has {len(password)}.", path)


def _check_name(full_name: str | None) -> None:
    if full_name is not None and (len(full_name) > 200 or "\0" in full_name):
        raise InvalidInput("A name has at most 200 characters, none of them U+0000.", ["input", "fullName"])
