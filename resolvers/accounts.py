"""Accounts as their owners use them: registering, signing in, another password."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers import sessions, tokens, users
from resolvers.access import SYSTEM
from resolvers.context import Context, network_of
from resolvers.credentials import EMAIL, check_email, check_name, check_password
from resolvers.errors import Conflict, Forbidden, InvalidCredentials
from resolvers.rates import Budget
from resolvers.sessions import SignedIn
from resolvers.store.tables import Role, SignIn, User


async def register(
    context: Context, email: str, password: str, full_name: str | None, token: str | None = None
) -> SignedIn:
    """Makes an account for whoever asks, where that is open to all, and signs them in.

    The first becomes ADMIN. Where registration is closed, only the first may register, with the token from the
    server's log. Raises InvalidInput, Conflict, Forbidden.
    """
    has_token = token is not None and context.services.tokens.is_first_admin(token)
    if not (context.services.open_registration or has_token):
        raise _closed()
    email = check_email(email)
    check_password(password, ["input", "password"])
    check_name(full_name)
    await _attempt(context, email)
    hash = await tokens.hash_password(password)
    try:
        async with context.database.write() as session:
            await users.lock(session)
            role = await _role(context, session, has_token=has_token)
            user = await users.insert(session, email, hash, full_name, role)
            return await sessions.begin(context, session, user)
    except IntegrityError:
        raise Conflict("Somebody has registered with this e-mail address already; sign in instead.") from None


async def _role(context: Context, session: AsyncSession, *, has_token: bool) -> Role:
    """Raises Forbidden for a token that has served: there is an admin."""
    if has_token and not await users.has_admin(session):
        return Role.ADMIN
    if not context.services.open_registration:
        raise _closed()
    return Role.VIEWER if await users.has_users(session) else Role.ADMIN


def _closed() -> Forbidden:
    return Forbidden(
        "Registration is closed on this server. Ask an admin for an account: they make it with `createUser`,"
        " or with `bcom-graphql user EMAIL` where the server runs."
    )


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
            return await sessions.begin(context, session, user)
    raise InvalidCredentials("This e-mail address and password do not belong together.")


async def change_password(context: Context, current: str, new: str) -> SignedIn:
    """Ends all other sign-ins. Raises InvalidInput, InvalidCredentials."""
    caller = context.require(Role.VIEWER, "change your password")
    check_password(new, ["new"])
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
            await sessions.end(context, session, SignIn.user_id == user.id)
            return await sessions.begin(context, session, user)
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
