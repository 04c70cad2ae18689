"""Guessing a password gets slower and slower, and locks nobody else out.

Attempts count by account and network together, so that a stranger uses up nothing of the owner's. By account alone, a
far larger number is left to networks that it was never signed in from; known networks do not draw on it.
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
    """Draws on what this place may try with this account. Raises RateLimited."""
    await count_attempt_from_address(context)
    await context.services.rates.consume(Budget.SIGN_INS_BY_ACCOUNT, _key(account), place)


async def count_attempt_from_address(context: Context) -> None:
    """Draws on what this address may try at all. Raises RateLimited."""
    if context.caller is not SYSTEM:
        await context.services.rates.consume(Budget.SIGN_INS_BY_ADDRESS, network_of(context.address))


async def count_attempt_of_stranger(context: Context, account: str) -> None:
    """Draws on what networks that the account does not know may try together. Raises RateLimited."""
    await context.services.rates.consume(Budget.SIGN_INS_BY_STRANGERS, _key(account))


async def reset_attempts(context: Context, account: str, place: str) -> None:
    """Who knows the password has not been guessing from here."""
    await context.services.rates.reset(Budget.SIGN_INS_BY_ACCOUNT, _key(account), place)


async def reset_strangers(context: Context, account: str) -> None:
    """The account may be signed in to from anywhere again."""
    await context.services.rates.reset(Budget.SIGN_INS_BY_STRANGERS, _key(account))


async def is_known(context: Context, session: AsyncSession, user: User) -> bool:
    """Whether the user has signed in from this network lately."""
    from_here = select(SignIn).where(
        SignIn.user_id == user.id,
        SignIn.network == fingerprint_network(context, user.id),
        SignIn.created_at > context.now - KNOWN_FOR,
    )
    return bool(await session.scalar(select(exists(from_here))))


def fingerprint_network(context: Context, user_id: int) -> bytes | None:
    """What is kept of the network of a sign-in: it tells nothing without the server's secret."""
    if not context.address:
        return None
    return context.services.tokens.fingerprint(f"{user_id} {household_network(context.address)}")


def household_network(address: str) -> str:
    """A /24 of IPv4, a /64 of IPv6: where a household or an office is, whose address changes now and then."""
    network = network_of(address)
    try:
        parsed = ipaddress.ip_address(network)
    except ValueError:
        return network  # a /64 already, or no address at all
    return str(ipaddress.ip_network((parsed, 24), strict=False)) if parsed.version == 4 else network


def _key(account: str) -> str:
    return tokens.digest(account).hex()  # addresses are nobody's business in a shared storage
