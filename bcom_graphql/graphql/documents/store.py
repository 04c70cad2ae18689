"""One store of documents per process: parsed, measured and validated once, found again by their SHA-256.

Only what can be executed is kept; whoever sends anything else pays for its reading each time. The store forgets what
has not been asked for longest, and is bounded by what it holds in memory; what would take a tenth of that is not kept,
or a few documents would push out all others. Automatic persisted queries find what anybody has sent before; with
trusted documents there is nothing else to find.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import orjson
from graphql import GraphQLSchema

from bcom_graphql.graphql.documents.reader import SHORT, Document, Reader
from bcom_graphql.graphql.errors import Refused, bad_request
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.single_flight import Shared
from bcom_graphql.graphql.threads import READING

CACHED_BYTES: Final = 64 * 1024 * 1024
LARGEST_SHARE: Final = 10  # what is larger than one of so many parts is not kept
USUAL_LENGTH: Final = 5_000  # characters of a document whose digest is remembered


class DocumentStore:
    """Finds documents by their text or by their hash."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        trusted: Mapping[str, str] | None = None,
        *,
        cached_bytes: int = CACHED_BYTES,
    ) -> None:
        """`trusted` documents by their ids: no others are admitted then."""
        self._reader = Reader(schema, limits)
        self._trusted = trusted
        self._trusted_hashes = {digest(text) for text in (trusted or {}).values()}
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._weights: dict[str, int] = {}  # of each as it was last weighed
        self._reading = Shared[Document](lambda _: 0, most=0)  # by all who wait for the same
        self._most_bytes = cached_bytes
        self._bytes = 0

    def named(self, id: str) -> Document:
        """A registered document, or one that was sent before. Raises Refused when there is none."""
        if self._trusted is not None and id in self._trusted:
            return self.sent(self._trusted[id])
        document = self._known(id)
        if document is None or (self._trusted is not None and id not in self._trusted_hashes):
            raise Refused("PersistedQueryNotFound", {"code": "PERSISTED_QUERY_NOT_FOUND"})
        return document

    def sent(self, text: str, hash: str | None = None, *, hide_suggestions: bool = False) -> Document:
        """The document with this text. Raises Refused if it is not trusted, or does not have the hash it should."""
        actual = self._admitted(text, hash)
        known = self._known(actual)
        return known or self._keep(self._reader.read(text, actual, hide_suggestions=hide_suggestions))

    async def received(self, text: str, hash: str | None = None, *, hide_suggestions: bool = False) -> Document:
        """The same; a long one that is new is read beside the event loop."""
        actual = self._admitted(text, hash)
        if (known := self._known(actual)) is not None:
            return known
        if len(text) <= SHORT:
            return self._keep(self._reader.read(text, actual, hide_suggestions=hide_suggestions))
        read = partial(READING.run, self._reader.read, text, actual, hide_suggestions=hide_suggestions)
        return self._keep(await self._reading.of((actual, hide_suggestions), read))

    def _admitted(self, text: str, hash: str | None) -> str:
        actual = digest(text)
        if hash is not None and hash != actual:
            raise bad_request("The document does not have the SHA-256 that came with it.")
        if self._trusted is not None and actual not in self._trusted_hashes:
            message = "This server executes registered documents only; this one is not among them."
            raise Refused(message, {"code": "FORBIDDEN"})
        return actual

    def knows(self, text: str) -> bool:
        """Whether reading it again costs nothing."""
        return digest(text) in self._documents

    def _known(self, hash: str) -> Document | None:
        document = self._documents.get(hash)
        if document is not None:
            self._documents.move_to_end(hash)
        return document

    def _keep(self, document: Document) -> Document:
        if document.errors:
            return document
        kept = self._documents.setdefault(document.hash, document)
        self.weigh(kept)
        return kept

    def weigh(self, document: Document) -> None:
        """Anew, after plans were made of it."""
        hash = document.hash
        if self._documents.get(hash) is not document:
            return
        weight = document.bytes
        self._bytes += weight - self._weights.get(hash, 0)
        self._weights[hash] = weight
        if weight > self._most_bytes // LARGEST_SHARE:
            self._forget(hash)
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._documents)))

    def _forget(self, hash: str) -> None:
        del self._documents[hash]
        self._bytes -= self._weights.pop(hash)


def digest(text: str) -> str:
    return _digest_of_usual(text) if len(text) <= USUAL_LENGTH else hashlib.sha256(text.encode()).hexdigest()


@lru_cache(1000)
def _digest_of_usual(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_trusted(path: Path) -> dict[str, str]:
    """Documents by their ids. Raises ValueError for a file that is none of such."""
    try:
        documents = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        message = f"The trusted documents in {path} cannot be read: {error}"
        raise ValueError(message) from error
    texts = documents.values() if isinstance(documents, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        message = f"{path} must be a JSON object of documents (strings) by their ids."
        raise ValueError(message)
    return dict(documents)
