"""Limits guessing of passwords without locking the owner out.

Attempts count by account and network together, so that a stranger does not use up the owner's. A second, larger budget
per account is shared by all networks that it was never signed in from.
"""

import ipaddress
from datetime import timedelta
from typing import Final

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.base import tokens
from resolvers.base.access import SYSTEM
from resolvers.base.rate_limits import Budget
from resolvers.context import Context, network_of
from resolvers.store.tables.core import SignIn, User

KNOWN_FOR: Final = timedelta(days=90)


async def count_attempt(context: Context, account: str, place: str) -> None:
    """Counts an attempt from this place at this account. Raises RateLimited."""
    await count_attempt_from_address(context)
    await context.services.rates.consume(Budget.SIGN_INS_BY_ACCOUNT, _key(account), place)


async def count_attempt_from_address(context: Context) -> None:
    """Counts an attempt from this address at any account. Raises RateLimited."""
    if context.caller is not SYSTEM:
        await context.services.rates.consume(Budget.SIGN_INS_BY_ADDRESS, network_of(context.address))


async def count_attempt_of_stranger(context: Context, account: str) -> None:
    """Counts an attempt from a network that the account does not know. Raises RateLimited."""
    await context.services.rates.consume(Budget.SIGN_INS_BY_STRANGERS, _key(account))


async def reset_attempts(context: Context, account: str, place: str) -> None:
    """Forgets the attempts from here: the password was right."""
    await context.services.rates.reset(Budget.SIGN_INS_BY_ACCOUNT, _key(account), place)


async def reset_strangers(context: Context, account: str) -> None:
    """Forgets the attempts from unknown networks."""
    await context.services.rates.reset(Budget.SIGN_INS_BY_STRANGERS, _key(account))


async def is_known(context: Context, session: AsyncSession, user: User) -> bool:
    """Returns whether the user has signed in from this network lately."""
    from_here = select(SignIn).where(
        SignIn.user_id == user.id,
        SignIn.network == fingerprint_network(context, user.id),
        SignIn.created_at > context.real_time - KNOWN_FOR,
    )
    return bool(await session.scalar(select(exists(from_here))))


def fingerprint_network(context: Context, user_id: int) -> bytes | None:
    """Returns a keyed hash of the network, which is stored with a sign-in."""
    if not context.address:
        return None
    return context.services.tokens.fingerprint(f"{user_id} {household_network(context.address)}")


def household_network(address: str) -> str:
    """Returns the /24 of an IPv4 address, or the /64 of an IPv6 one: a household's address changes within it."""
    network = network_of(address)
    try:
        parsed = ipaddress.ip_address(network)
    except ValueError:
        return network  # a /64 already, or no address at all
    return str(ipaddress.ip_network((parsed, 24), strict=False)) if parsed.version == 4 else network


def _key(account: str) -> str:
    return tokens.digest(account).hex()  # no e-mail addresses in a shared storage
