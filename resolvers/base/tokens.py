"""Access tokens (JWT, RFC 7519), and opaque tokens that are stored as their sha256."""

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import jwt

from resolvers.base.errors import Unauthenticated

ISSUER = AUDIENCE = "bcom-graphql"
REFRESH_TOKEN_LIFE = timedelta(days=30)
API_KEY_PREFIX = "bcom_"
MOST_KNOWN = 10_000  # tokens, of about a kilobyte each


def new_secret(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Returns the sha256 of an opaque token, which has 256 random bits: a plain hash protects it."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True)
class Claims:
    user_id: int
    sign_in_id: UUID
    expires_at: float  # epoch seconds; the leeway is in it


def parse_bearer(authorization: object) -> str | None:
    """Returns the secret of a `Bearer …` header (RFC 6750), or None. The scheme's case and blanks do not matter."""
    words = authorization.strip().split(None, 1) if isinstance(authorization, str) else []
    return words[1] if len(words) == 2 and words[0].lower() == "bearer" else None


@dataclass(frozen=True)
class Tokens:
    """Issues and checks access tokens; `leeway` is how far the clocks of two machines may be apart."""

    secret: str
    life: timedelta = timedelta(minutes=30)
    algorithm: str = "HS256"
    leeway: timedelta = timedelta(seconds=30)
    _known: dict[str, Claims] = field(default_factory=dict, init=False, repr=False, compare=False)

    def issue(self, user_id: int, sign_in_id: UUID, now: datetime) -> tuple[str, datetime]:
        """Returns a new access token and when it expires."""
        expires_at = now + self.life
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(sign_in_id),
            "iat": now,
            "exp": expires_at,
            "jti": str(uuid4()),
        }
        return jwt.encode(claims, self.secret, algorithm=self.algorithm), expires_at

    def fingerprint(self, text: str) -> bytes:
        """Returns a keyed hash: equal for equal texts, and useless without the secret."""
        return hmac.digest(self.secret.encode(), b"mark " + text.encode(), "sha256")[:16]

    @property
    def first_admin_token(self) -> str:
        """The token that lets somebody register as the first admin: the same in each process, as secret as the key."""
        made = hmac.digest(self.secret.encode(), b"the first admin", "sha256")
        return base64.urlsafe_b64encode(made[:24]).decode()

    def is_first_admin_token(self, token: str) -> bool:
        """Returns whether this is the first admin's token."""
        return hmac.compare_digest(self.first_admin_token.encode(), token.strip().encode())

    def check(self, token: str) -> Claims:
        """Returns the claims of a valid token. Raises Unauthenticated.

        A verified token is remembered: it can only expire.
        """
        claims = self._known.get(token)
        if claims is None or claims.expires_at <= time.time():
            claims = self._verify(token)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[token] = claims
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[self.algorithm],
                leeway=self.leeway,
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]},
            )
            ends = float(claims["exp"]) + self.leeway.total_seconds()
            return Claims(int(claims["sub"]), UUID(claims["sid"]), ends)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("Your access token has expired; refresh the session or sign in again.") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("This access token is not valid; sign in again.") from None
