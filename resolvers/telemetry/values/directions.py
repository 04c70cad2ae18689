"""A link's direction, in the words that hubs write: IB and OB, inbound and outbound, return and forward."""

from typing import Final

import polars as pl

from resolvers.telemetry.values.missing import drop_missing
from resolvers.telemetry.values.parsed import Parsed, Unusable, blank, parse_each

WORDS: Final = {
    "OB": "ob outbound outroute forward fwd forwardlink fwdlink forwardchannel hubtoremote",
    "IB": "ib inbound inroute return rtn ret returnlink rtnlink returnchannel remotetohub",
}
DIRECTIONS: Final = {word: direction for direction, words in WORDS.items() for word in words.split()}
# Both directions have an uplink and a downlink, a transmitter and a receiver; `in` and `out` are an interface's.
EITHER_WORDS: Final = """
    uplink downlink up down ul dl upstream downstream us ds rx tx receive transmit received transmitted
    in out ingress egress upload download
"""
AMBIGUOUS: Final = frozenset(EITHER_WORDS.split())
NO_DIRECTION: Final = "must be IB or OB"
EITHER: Final = (
    "must be IB (inbound, return: from the remote to the hub) or OB (outbound, forward: from the hub to the remote)"
)


def parse_directions(raw: pl.Series) -> Parsed:
    """Parses directions into 'IB' and 'OB'."""
    texts = drop_missing(raw.cast(pl.String))
    quick = texts.str.to_uppercase()
    return parse_each(texts, blank(quick, ~quick.is_in(["IB", "OB"])), read_direction)


def read_direction(text: str) -> str:
    """Reads a direction, whatever its case, blanks and signs. Raises Unusable for words that may mean either."""
    word = "".join(letter for letter in text.casefold() if letter.isalnum())
    if word in DIRECTIONS:
        return DIRECTIONS[word]
    raise Unusable(EITHER if word in AMBIGUOUS else NO_DIRECTION)
