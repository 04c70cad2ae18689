"""Accounts as their owners use them: registering, signing in, changing the password."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.accounts import guessing, sessions, users
from resolvers.accounts.credentials import check_email, check_name, check_password, spellings
from resolvers.accounts.sessions import SignedIn
from resolvers.base.errors import Forbidden, InvalidCredentials
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.tables.core import SignIn, User

REFUSED = "This e-mail address and password do not match."


async def register(
    context: Context, email: str, password: str, full_name: str | None, token: str | None = None
) -> SignedIn:
    """Creates an account and signs its owner in.

    The first user becomes ADMIN. If registration is closed, only the first may register, with the token from the
    server's log. An address that is taken is refused like a wrong password, so that nobody can guess passwords here.
    Raises InvalidInput, InvalidCredentials, Forbidden, RateLimited, Busy.
    """
    has_token = token is not None and context.services.tokens.is_first_admin_token(token)
    if not (context.services.open_registration or has_token):
        raise _refuse_registration()
    email = check_email(email)
    password = check_password(password, ["input", "password"])
    check_name(full_name)
    await guessing.count_attempt_from_address(context)
    hash = await context.services.passwords.hash(password, guessing.household_network(context.address))
    try:
        async with context.database.write() as session:
            await lock(session, AdvisoryLock.USERS)
            role = await _choose_role(context, session, has_token=has_token)
            user = await users.insert_user(session, email, hash, full_name, role)
            return await sessions.begin(context, session, user)
    except IntegrityError:
        raise InvalidCredentials(REFUSED) from None


async def _choose_role(context: Context, session: AsyncSession, *, has_token: bool) -> Role:
    """Returns the new user's role. Raises Forbidden if the token was used already: there is an admin."""
    if has_token and not await users.has_admin(session):
        return Role.ADMIN
    if not context.services.open_registration:
        raise _refuse_registration()
    return Role.VIEWER if await users.has_users(session) else Role.ADMIN


def _refuse_registration() -> Forbidden:
    return Forbidden(
        "Registration is closed on this server. Ask an admin for an account: they make it with `createUser`,"
        " or with `bcom-graphql user EMAIL` where the server runs."
    )


async def login(context: Context, email: str, password: str) -> SignedIn:
    """Signs a user in. Raises InvalidCredentials, which does not say what was wrong; RateLimited, Busy."""
    account, place = spellings(email)[0], guessing.household_network(context.address)
    await guessing.count_attempt(context, account, place)
    async with context.database.read() as session:
        holder = await users.find_user(session, email)
        is_known = holder is not None and await guessing.is_known(context, session, holder)
    if not is_known:
        await guessing.count_attempt_of_stranger(context, account)
    hash = holder.password_hash if holder else None
    matches = await context.services.passwords.match(password, hash, place, is_known=is_known)
    if matches:
        await guessing.reset_attempts(context, account, place)
    async with context.database.write() as session:
        user = await _lock_if_unchanged(session, holder) if holder and matches else None
        if user and user.is_active:
            return await sessions.begin(context, session, user)
    raise InvalidCredentials(REFUSED)


async def change_password(context: Context, current: str, new: str, *, revoke_keys: bool = False) -> SignedIn:
    """Changes the password and ends all other sessions. Raises InvalidInput, InvalidCredentials."""
    caller = context.require_person(Role.VIEWER, "change your password")
    new = check_password(new, ["new"])
    async with context.database.read() as session:
        holder = await session.get_one(User, caller.user_id)
    place = f"session {caller.sign_in_id}"  # whoever guesses elsewhere is no reason to refuse it here
    await guessing.count_attempt(context, holder.email, place)
    matches = await context.services.passwords.match(current, holder.password_hash, place, is_known=True)
    if not matches:
        raise InvalidCredentials("This is not your current password.")
    await guessing.reset_attempts(context, holder.email, place)
    hash = await context.services.passwords.hash(new, place, is_known=True)
    async with context.database.write() as session:
        user = await _lock_if_unchanged(session, holder)
        if user is None:
            raise InvalidCredentials("This is not your current password.")
        user.password_hash = hash
        await sessions.end(context, session, SignIn.user_id == user.id)
        if revoke_keys:
            await users.revoke_keys(context, session, user)
        return await sessions.begin(context, session, user)


async def _lock_if_unchanged(session: AsyncSession, holder: User) -> User | None:
    """Returns the user, locked; None if the password was changed since it was verified."""
    same = (User.id == holder.id, User.password_hash == holder.password_hash)
    user: User | None = await session.scalar(select(User).where(*same).with_for_update(key_share=True))
    return user
