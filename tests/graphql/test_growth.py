"""What a request's text costs grows as its length does, whatever is in it: four times the text, four times the time."""

import time
from collections.abc import Callable

import pytest
from graphql import GraphQLError, Lexer, Source, TokenKind, parse
from hypothesis import given
from hypothesis import strategies as st

from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.documents.token_count import count_tokens
from bcom_graphql.graphql.limits import Limits
from schema.root import schema

LENGTH = 20_000
MOST_GROWTH = 9.0  # of time, for four times the length; what grows with the square takes sixteen times
TEXTS = {
    "an open string of escapes": ('"', '\\"', ""),
    "an open block string of escapes": ('"""', '\\"', ""),
    "an open block string of escaped ends": ('"""', '\\"""', ""),
    "an open block string of quotes": ('"""', '" ', ""),
    "a block string of lines": ('{a(b:"""', "\n  x", '""")}'),
    "a block string of escapes": ('{a(b:"""', '\\"""', '""")}'),
    "a string of escapes": ('{a(b:"', "\\n", '")}'),
    "quotes": ("", '"', ""),
    "quotes and lines": ("", '"\n', ""),
    "strings that never close": ("", '"\\', ""),
    "minus signs": ("", "-", ""),
    "numbers without blanks": ("{a(b:[", "-1", "])}"),
    "numbers that end in a letter": ("", "1e", ""),
    "digits": ("{a(b:", "9", ")}"),
    "dots": ("", ".", ""),
    "a comment": ("#", "#", ""),
    "comments": ("", "#\n", ""),
    "letters that no name has": ("", "é", ""),
    "a name": ("{", "a", "}"),
    "blanks": ("{a", " ", "}"),
    "lines": ("{a", "\r", "}"),
    "brackets": ("", "[", ""),
}


def parse_json(text: str) -> None:
    try:
        parse(text, max_lexical_tokens=Limits().tokens)
    except GraphQLError as error:
        str(error)  # prints the line it is in, and where in the line


def read(text: str) -> None:
    DocumentStore(schema._schema, Limits(tokens=5_000)).read(text)


def seconds(work: Callable[[str], object], text: str) -> float:
    """Of the processor, the least of several runs: what the work takes when nothing else does."""
    taken = []
    for _ in range(5):
        began = time.thread_time()
        work(text)
        taken.append(time.thread_time() - began)
    return min(taken)


@pytest.mark.parametrize("work", [count_tokens, parse_json, read])
@pytest.mark.parametrize("text", TEXTS.values(), ids=[*TEXTS])
def test_four_times_the_text_takes_about_four_times_as_long(
    work: Callable[[str], object], text: tuple[str, str, str]
) -> None:
    begin, again, end = text
    short, long = (begin + again * (length // len(again)) + end for length in (LENGTH, 4 * LENGTH))

    assert seconds(work, long) < MOST_GROWTH * max(seconds(work, short), 0.001)


def lexed(text: str) -> int:
    """How many tokens and comments graphql-core reads. Raises GraphQLError for what has others."""
    lexer, count = Lexer(Source(text)), 0
    token = lexer.token
    while (token := lexer.read_next_token(token.end)).kind is not TokenKind.EOF:
        count += 1
    return count


@given(st.text(alphabet='"\\ \n\r#-1.eE+aé{}$,\ufeff', max_size=40))
def test_no_text_has_more_tokens_than_are_counted(text: str) -> None:
    try:
        expected = lexed(text)
    except GraphQLError:
        return

    assert count_tokens(text) == expected
