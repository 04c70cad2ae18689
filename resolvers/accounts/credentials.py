"""What a person may be called, be written to at, and sign in with."""

import unicodedata

from resolvers.accounts.addresses import normalise
from resolvers.base.errors import InvalidInput

LONGEST_PASSWORD = 128


def check_email(email: str) -> str:
    """In its one spelling. Raises InvalidInput."""
    try:
        return normalise(email)
    except ValueError as error:
        raise InvalidInput(f"This e-mail address cannot be used: {error}.", ["input", "email"]) from None


def spellings(email: str) -> list[str]:
    """Under which an account is found: the one spelling, and last as it was typed, as older accounts may be kept."""
    typed = email[:1000].replace("\0", "").strip().lower()
    try:
        return [normalise(email), typed]
    except ValueError:
        return [typed]


def check_password(password: str, path: list[str]) -> str:
    """As it is hashed. Raises InvalidInput."""
    password = unicodedata.normalize("NFC", password[: 10 * LONGEST_PASSWORD])
    if not 8 <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(f"A password has 8 to 128 characters; this one has {len(password)}.", path)
    return password


def check_name(full_name: str | None) -> None:
    """Raises InvalidInput."""
    if full_name is not None and (len(full_name) > 200 or "\0" in full_name):
        raise InvalidInput("A name has at most 200 characters, none of them U+0000.", ["input", "fullName"])
