"""What is no SECRET_KEY: too short, known to everybody from a template, or the same again and again."""

import re
import zlib
from typing import Final

SHORTEST: Final = 32
LEAST_INFORMATION: Final = 24  # bytes that zlib makes of it; of 32 random hexadecimal digits about 40
PLACEHOLDERS: Final = (  # of templates and tutorials, without what is no letter or digit
    "changeme",
    "changethis",
    "changeit",
    "changein",
    "pleasechange",
    "replaceme",
    "replacethis",
    "replacewith",
    "yoursecret",
    "yoursuper",
    "yourjwt",
    "yourrandom",
    "supersecret",
    "secretkeyhere",
    "opensslrandhex",
    "randomstring",
    "placeholder",
    "fordevonly",
    "djangoinsecure",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # of FastAPI's documentation
)


def fault(key: str) -> str | None:
    """What is wrong with it; None when nothing is."""
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    if any(placeholder in plain for placeholder in PLACEHOLDERS):
        return "is a placeholder that everybody knows"
    if len(key) < SHORTEST:
        return f"must have at least {SHORTEST} characters"
    if len(zlib.compress(key.encode(), 9)) < LEAST_INFORMATION:
        return "repeats itself, and so is easily guessed"
    return None
