"""Users as admins manage them."""

import secrets
from dataclasses import dataclass

import structlog
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts import guessing, sessions
from resolvers.accounts.credentials import check_email, check_name, check_password, spellings
from resolvers.base.errors import Conflict, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.lists.pagination import Page, Window, fetch_page
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.tables.core import ApiKey, SignIn, User

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GivenPassword:
    """A password that the server chose, shown only once."""

    user: User
    password: str


async def find_viewer(context: Context) -> User | None:
    """Returns the caller's user; None if anonymous."""
    if context.caller is None:
        return None
    return await context.loaders.rows(User).load(context.caller.user_id)


def may_see(context: Context, user_id: int) -> bool:
    """Returns whether the caller sees this user's address, role and state: their own, or as an admin."""
    caller = context.caller
    return caller is not None and (caller.role is Role.ADMIN or caller.user_id == user_id)


def mask_email(email: str) -> str:
    """Returns an address that colleagues recognise, but cannot sign in with."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}…@{domain}"


def name_user(user: User) -> str:
    """Returns the name by which colleagues know somebody: the full name, else the masked address."""
    return user.full_name or mask_email(user.email)


async def list_users(context: Context, role: Role | None, is_active: bool | None, window: Window) -> Page[User]:
    context.require(Role.ADMIN, "list users")
    return await fetch_page(context.database, user_listing(role, is_active), window, context.columns_of(User))


@cached_listing
def user_listing(role: Role | None, is_active: bool | None) -> Listing[User]:
    conditions: list[ColumnElement[bool]] = []
    if role is not None:
        conditions.append(User.role == role)
    if is_active is not None:
        conditions.append(User.is_active == is_active)
    return Listing(User, (User.id,), conditions=tuple(conditions))


async def create_user(context: Context, email: str, full_name: str | None, role: Role) -> GivenPassword:
    """Creates an account with a password that the server chooses. Raises InvalidInput, Conflict."""
    password = _new_password()
    return GivenPassword(await add_user(context, email, password, full_name, role), password)


async def add_user(context: Context, email: str, password: str, full_name: str | None, role: Role) -> User:
    """Creates an account; of an ADMIN if no admin is active. Raises InvalidInput, Conflict."""
    caller = context.require_person(Role.ADMIN, "create users")
    email = check_email(email)
    password = check_password(password, ["input", "password"])
    check_name(full_name)
    hash = await context.services.passwords.hash(password)
    try:
        async with context.database.write() as session:
            await lock(session, AdvisoryLock.USERS)
            await sessions.confirm(session, caller)
            role = role if await has_admin(session) else Role.ADMIN  # somebody must be
            return await insert_user(session, email, hash, full_name, role)
    except IntegrityError:
        raise Conflict("Somebody has an account with this e-mail address already.") from None


async def find_user(session: AsyncSession, email: str) -> User | None:
    """Returns the user with this address, in any spelling; one stored in this very spelling comes first."""
    asked = spellings(email)
    query = select(User).where(User.email.in_(asked)).order_by((User.email == asked[-1]).desc()).limit(1)
    found: User | None = await session.scalar(query)
    return found


async def insert_user(session: AsyncSession, email: str, hash: str, full_name: str | None, role: Role) -> User:
    """Creates the user. Raises IntegrityError if the address is taken."""
    user = User(email=email, full_name=full_name, role=role, is_active=True, password_hash=hash)
    session.add(user)
    await session.flush()
    await session.refresh(user)
    return user


async def has_admin(session: AsyncSession) -> bool:
    """Returns whether an admin is active."""
    return bool(await session.scalar(select(exists().where(User.role == Role.ADMIN, User.is_active))))


async def has_users(session: AsyncSession) -> bool:
    """Returns whether there is any account."""
    return bool(await session.scalar(select(exists(select(User)))))


async def reset_password(context: Context, user_id: int) -> GivenPassword:
    """Sets a new password, ends the user's sessions and revokes their API keys. Raises NotFound."""
    caller = context.require_person(Role.ADMIN, "reset passwords")
    password = _new_password()
    hash = await context.services.passwords.hash(password)
    async with context.database.write() as session:
        user = await session.get(User, user_id, with_for_update=True)
        await sessions.confirm(session, caller)
        if user is None:
            raise NotFound("user")
        user.password_hash = hash
        await _end_access(context, session, user)
        await session.flush()
        await session.refresh(user)
    await guessing.reset_strangers(context, user.email)
    logger.info("a password was reset", user_id=user.id, by=caller.author_id)
    return GivenPassword(user, password)


async def update_user(
    context: Context, user_id: int, full_name: str | None, role: Role | None, is_active: bool | None
) -> User:
    """Changes what is given, at once, for open sockets too. Raises NotFound, Conflict, InvalidInput."""
    caller = context.require_person(Role.ADMIN, "manage users")
    check_name(full_name)
    async with context.database.write() as session:
        await lock(session, AdvisoryLock.USERS)
        user = await session.get(User, user_id, with_for_update=True)
        await sessions.confirm(session, caller)
        if user is None:
            raise NotFound("user")
        await _keep_an_admin(session, user, role, is_active)
        if (role or user.role) is not user.role or is_active is False:
            sessions.publish_change(session, user.id)
        user.full_name = user.full_name if full_name is None else full_name
        user.role = role or user.role
        user.is_active = user.is_active if is_active is None else is_active
        if not user.is_active:
            await _end_access(context, session, user)
        await session.flush()
        await session.refresh(user)
    logger.info("a user was changed", user_id=user.id, role=user.role, is_active=user.is_active, by=caller.author_id)
    return user


async def deactivate(context: Context, session: AsyncSession, user: User) -> None:
    """Deactivates the user, even the last admin: only for accounts that nobody should have."""
    user.is_active = False
    await _end_access(context, session, user)


async def _keep_an_admin(session: AsyncSession, user: User, role: Role | None, is_active: bool | None) -> None:
    if user.role is not Role.ADMIN or not user.is_active or (role in (None, Role.ADMIN) and is_active is not False):
        return
    admins = select(func.count()).select_from(User).where(User.role == Role.ADMIN, User.is_active)
    if await session.scalar(admins) == 1:
        raise Conflict("This is the last active admin; make somebody else one first.")


async def _end_access(context: Context, session: AsyncSession, user: User) -> None:
    await sessions.end(context, session, SignIn.user_id == user.id)
    await revoke_keys(context, session, user)


async def revoke_keys(context: Context, session: AsyncSession, user: User) -> None:
    """Revokes all of the user's API keys; they stay revoked if the user becomes active again."""
    mine = update(ApiKey).where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
    await session.execute(mine.values(revoked_at=context.real_time))
    sessions.publish_change(session, user.id)


def _new_password() -> str:
    return secrets.token_urlsafe(12)
