"""Parses Host headers, and tells which are this server's."""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

ANY: Final = "*"
ALLOWED: Final = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::[0-9]{0,5})?", re.IGNORECASE)


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Tells whether a Host header names this server. `allowed`: names, `*.example.com` for subdomains, `*` for all."""
    name = parse_host(host)
    if name is None:
        return False
    if ANY in allowed or "." not in name or name.endswith(".localhost") or _is_address(name):
        return True
    return name in allowed or any(name.endswith(each[1:]) for each in allowed if each.startswith("*."))


def parse_host(host: str) -> str | None:
    """Returns a Host header's name without port, in lower case; "" if it is empty, None if it is malformed."""
    if not host:
        return ""
    match = HOST.fullmatch(host)
    if match is None:
        return None
    return (match["v6"] or match["name"]).lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
