"""What a person may be called, be written to at, and sign in with."""

import re

from resolvers.errors import InvalidInput

EMAIL = re.compile(r"[^@\s\0]+@[^@\s\0]+\.[^@\s\0]+")


def check_email(email: str) -> str:
    """In lower case. Raises InvalidInput."""
    email = email.strip().lower()
    if len(email) > 254 or not EMAIL.fullmatch(email):
        raise InvalidInput("This is no e-mail address; it should look like name@example.com.", ["input", "email"])
    return email


def check_password(password: str, path: list[str]) -> None:
    """Raises InvalidInput."""
    if not 8 <= len(password) <= 128:
        raise InvalidInput(f"A password has 8 to 128 characters; this one has {len(password)}.", path)


def check_name(full_name: str | None) -> None:
    """Raises InvalidInput."""
    if full_name is not None and (len(full_name) > 200 or "\0" in full_name):
        raise InvalidInput("A name has at most 200 characters, none of them U+0000.", ["input", "fullName"])
