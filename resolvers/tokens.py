"""Secrets and what proves them: passwords (argon2id), access tokens (JWT, HS256), opaque tokens (sha256)."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from resolvers.errors import Unauthenticated

ISSUER = AUDIENCE = "bcom-graphql"
ACCESS_TOKEN_LIFE = timedelta(minutes=30)
REFRESH_TOKEN_LIFE = timedelta(days=30)
API_KEY_PREFIX = "bcom_"
MOST_KNOWN = 10_000  # tokens, of which each takes about a kilobyte

Result = TypeVar("Result")

_passwords = PasswordHasher()  # argon2id, RFC 9106's low-memory parameters
_nobodys_hash = _passwords.hash(secrets.token_urlsafe())
_hashing = ThreadPoolExecutor(2, "argon2")  # its own, so that a flood of sign-ins leaves the other threads alone


async def hash_password(password: str) -> str:
    return await _aside(lambda: _passwords.hash(password))


async def password_matches(password: str, hash: str | None) -> bool:
    """Takes the same time when there is no hash, so that nobody learns who has an account."""
    try:
        return await _aside(lambda: _passwords.verify(hash or _nobodys_hash, password)) and hash is not None
    except (Argon2Error, InvalidHashError):
        return False


async def _aside(work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(_hashing, work)


def new_secret(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Opaque tokens have 256 random bits: a plain hash protects them, and can be looked up."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True)
class Claims:
    user_id: int
    sign_in_id: UUID
    expires_at: float  # epoch seconds


@dataclass(frozen=True)
class Tokens:
    """Issues and checks access tokens."""

    secret: str
    _known: dict[str, Claims] = field(default_factory=dict, init=False, repr=False, compare=False)

    def issue(self, user_id: int, sign_in_id: UUID, now: datetime) -> tuple[str, datetime]:
        """The token and when it expires."""
        expires_at = now + ACCESS_TOKEN_LIFE
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(sign_in_id),
            "iat": now,
            "exp": expires_at,
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self.secret, algorithm="HS256"), expires_at

    @property
    def first_admin(self) -> str:
        """What lets somebody register as the first admin: the same in each process, and as secret as the key."""
        made = hmac.digest(self.secret.encode(), b"the first admin", "sha256")
        return base64.urlsafe_b64encode(made[:24]).decode()

    def is_first_admin(self, token: str) -> bool:
        """Whether it is that one."""
        return hmac.compare_digest(self.first_admin.encode(), token.strip().encode())

    def check(self, token: str) -> Claims:
        """Raises Unauthenticated unless we issued it and it still holds.

        What was verified once is remembered: it can become nothing but too old.
        """
        claims = self._known.get(token)
        if claims is None or claims.expires_at <= time.time():
            claims = self._verified(token)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[token] = claims
        return claims

    def _verified(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]},
            )
            return Claims(int(claims["sub"]), UUID(claims["sid"]), float(claims["exp"]))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("Your access token has expired; refresh the session or sign in again.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("This access token is not valid; sign in again.") from None
