"""E-mail addresses in one spelling each, so that no two accounts look alike (UTS 39, RFC 5321, RFC 6531, IDNA 2008)."""

import re
import unicodedata
from typing import Final

import idna

LONGEST: Final = 254
LONGEST_LOCAL: Final = 64  # octets
LONGEST_GIVEN: Final = 1000  # characters, before anything is folded
LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
HIDDEN: Final = ("C", "Z")  # control, format (zero-width, bidirectional), unassigned; blanks and line ends
TOGETHER: Final = ({"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"})
LIKE_ASCII: Final = "ıĸ"  # Latin letters that look like another and are not folded to it


def normalise(address: str) -> str:
    """Returns the one spelling: NFKC, folded case, the domain in ASCII. Raises ValueError with a reason."""
    address = address.strip()
    if len(address) > LONGEST_GIVEN:
        raise ValueError("it is too long")
    if any(unicodedata.category(character)[0] in HIDDEN for character in address):
        raise ValueError("it has spaces, control characters or invisible characters in it")
    local, _, domain = unicodedata.normalize("NFKC", address).rpartition("@")
    local, domain = _fold(local), _to_ascii(domain)
    if not LOCAL.fullmatch(local) or len(local.encode()) > LONGEST_LOCAL:
        raise ValueError("it should look like name@example.com")
    if len(local) + 1 + len(domain) > LONGEST:
        raise ValueError("it is too long")
    for part in (local, *idna.decode(domain).split(".")):
        _refuse_mixture(part)
    return f"{local}@{domain}"


def _fold(text: str) -> str:
    """Case folding may undo a normalisation: once more, and the same text gives the same for ever."""
    return unicodedata.normalize("NFKC", text.casefold())


def _to_ascii(domain: str) -> str:
    try:
        ascii_ = idna.encode(domain, uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError("the part after the @ is not a domain") from error
    labels = ascii_.split(".")
    if len(labels) < 2 or not all(labels) or labels[-1].isdigit():
        raise ValueError("the part after the @ is not a domain")
    return ascii_


def _refuse_mixture(part: str) -> None:
    """Letters of one script only, as Latin with a Cyrillic letter among it looks like another address."""
    names = {c: unicodedata.name(c, "").partition(" ")[0] for c in part if unicodedata.category(c)[0] in "LM"}
    scripts = set(names.values())
    mixed = len(scripts) > 1 and not any(scripts <= group for group in TOGETHER)
    if mixed or "COMBINING" in scripts or any(_looks_ascii(c) for c in part if names.get(c) == "LATIN"):
        raise ValueError("it has letters in it that look like other letters")


def _looks_ascii(letter: str) -> bool:
    """A Latin letter that no language's everyday spelling has, or that looks like another."""
    is_usual = ord(letter) < 0x180 or unicodedata.normalize("NFD", letter)[0].isascii()
    return letter in LIKE_ASCII or not is_usual
