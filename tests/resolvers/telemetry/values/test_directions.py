"""Directions are read in the words that hubs write; what may mean either is refused with what to write."""

import polars as pl
import pytest

from resolvers.telemetry.values.directions import EITHER, NO_DIRECTION, parse_directions

READ = {
    "OB": ["OB", " ob ", "Outbound", "OUTROUTE", "forward", "Forward Link", "FWD", "fwd_link", "hub to remote"],
    "IB": ["IB", "ib", "in-bound", "Inroute", "Return", "return link", "RTN", "Ret", "Remote-to-Hub"],
}


@pytest.mark.parametrize(("direction", "words"), READ.items(), ids=READ)
def test_words_that_mean_one_direction_are_read(direction: str, words: list[str]) -> None:
    """iDirect has inroutes and outroutes, Newtec and Hughes forward and return; etsi TS 101 545-1 does, too."""
    parsed = parse_directions(pl.Series(words))

    assert parsed.values.to_list() == [direction] * len(words)
    assert parsed.reasons is None


@pytest.mark.parametrize("word", ["Uplink", "DOWNLINK", "RX", "tx", "in", "Out", "upstream", "DL"])
def test_words_that_may_mean_either_are_refused_with_those_that_do_not(word: str) -> None:
    """Each direction has an uplink and a downlink; SNMP's in and out are an interface's (zabbix templates)."""
    parsed = parse_directions(pl.Series(["OB", word]))

    assert parsed.values.to_list() == ["OB", None]
    assert parsed.reasons is not None
    assert parsed.reasons.to_list() == [None, EITHER]


def test_other_words_and_missing_ones_are_no_directions() -> None:
    parsed = parse_directions(pl.Series(["sideways", "returned", "", "N/A", None]))

    assert parsed.values.null_count() == 5
    assert parsed.reasons is not None
    assert parsed.reasons.to_list() == [NO_DIRECTION, NO_DIRECTION, None, None, None]
