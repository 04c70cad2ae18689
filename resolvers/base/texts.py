"""What people write."""

from typing import Final
from unicodedata import category

UNSEEN: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})  # controls, what has no width (as U+200B), spaces, line ends


def is_blank(text: str) -> bool:
    """Returns whether nobody sees anything of it."""
    return all(category(character) in UNSEEN for character in text)
