"""E-mail addresses: one spelling each, and none that looks like another."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.accounts.addresses import normalise


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("o'brien+noc@mail.example.co.uk", "o'brien+noc@mail.example.co.uk"),
        ("jose\u0301@example.com", "josé@example.com"),  # NFD
        ("ＡＤＡ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),  # full width
        ("ᴮᴵᴳᴮᴵᴿᴰ@example.com", "bigbird@example.com"),  # Spotify's account takeover of 2013
        ("mi\u212ae@example.com", "mike@example.com"),  # the Kelvin sign: Django's CVE-2019-19844
        ("\u017fam@example.com", "sam@example.com"),  # the long s
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),  # IDNA 2008: another domain than strasse.example
        ("иван@example.com", "иван@example.com"),
        ("山田たろう@example.com", "山田たろう@example.com"),
        ("zoë.müller_1@example.com", "zoë.müller_1@example.com"),
    ],
)
def test_an_address_has_one_spelling(typed: str, kept: str) -> None:
    assert normalise(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "a da@example.com",
        "a@b@c.example",
        "nul\0@example.com",
        "ada@x..com",
        "ada@example.com.",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "ada@-example.com",
        "ada@exa_mple.com",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        '"a b"@example.com',
        "<ada@example.com>",
        "ada\u200b@example.com",  # zero width space
        "ada\u00ad@example.com",  # soft hyphen
        "\ufeffada@example.com",  # byte order mark
        "ada\u202egro@example.com",  # right to left
        "ada\u2066@example.com",
        "ada@exam\u200dple.com",
        "ada\r\nBcc: eve@example.com",
        "m\u0131ke@example.org",  # dotless i: GitHub's password reset of 2016
        "mike@exampl\u0435.com",  # a Cyrillic letter among Latin ones
        "\u0430da@example.com",
        "βιgвιяδ@example.com",
        "İda@example.com",  # folded, an i with a dot above its dot
        "a\u0337da@example.com",
        "ɑda@example.com",
        "ada@xn--.com",
        "ada@xn--a.com",
        "x" * 65 + "@example.com",
        "é" * 40 + "@example.com",  # 80 octets
        "ada@" + "x" * 64 + ".com",
        "ada@" + "x." * 125 + "com",
        "x" * 2_000_000 + "@example.com",
    ],
)
def test_what_is_no_address_or_looks_like_another_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of several kinds
        normalise(typed)


@given(st.text(max_size=12), st.text(max_size=8))
def test_the_one_spelling_is_its_own(local: str, domain: str) -> None:
    """Spotify's was not: a second normalisation led to somebody else's account."""
    try:
        kept = normalise(f"{local}@{domain}.example")
    except ValueError:
        return

    assert normalise(kept) == kept
    assert normalise(unicodedata.normalize("NFD", kept)) == kept
