"""Keeps the documents of a process: parsed, measured and validated once, found again by their SHA-256.

Only valid documents are kept; the sender of an invalid one pays for reading it each time. The store is an LRU cache,
bounded in bytes; a document of more than a tenth of that is not kept, or a few would push out all others. Automatic
persisted queries find what anybody has sent before; with trusted documents there are no others.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import orjson
from graphql import GraphQLSchema

from bcom_graphql.graphql.documents.reader import SHORT_CHARACTERS, Document, Reader
from bcom_graphql.graphql.errors import BadRequest, RequestError
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.single_flight import SingleFlightCache
from bcom_graphql.graphql.threads import DOCUMENT_THREADS

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_SHARE: Final = 10  # a document larger than this fraction of the store is not kept
REMEMBERED_CHARACTERS: Final = 5_000  # of a document whose hash is cached


class DocumentStore:
    """Finds documents by their text or by their hash."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        trusted: Mapping[str, str] | None = None,
        *,
        cached_bytes: int = MAX_BYTES,
    ) -> None:
        """`trusted`: documents by their ids; others are refused then."""
        self._reader = Reader(schema, limits)
        self._trusted = trusted
        self._trusted_hashes = {hash_text(text) for text in (trusted or {}).values()}
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._weights: dict[str, int] = {}  # bytes of each when it was last weighed
        self._reading = SingleFlightCache[Document](lambda _: 0, max_entries=0)
        self._max_bytes = cached_bytes
        self._bytes = 0

    def get_registered(self, id: str) -> Document:
        """Returns a trusted document by its id, or any by its hash. Raises RequestError if there is none."""
        if self._trusted is not None and id in self._trusted:
            return self.read(self._trusted[id])
        document = self._lookup(id)
        if document is None or (self._trusted is not None and id not in self._trusted_hashes):
            raise RequestError("PersistedQueryNotFound", {"code": "PERSISTED_QUERY_NOT_FOUND"})
        return document

    def read(self, text: str, hash: str | None = None, *, hide_suggestions: bool = False) -> Document:
        """Returns the document with this text. Raises RequestError if it is not trusted, or the hash is another."""
        actual = self._check_admitted(text, hash)
        document = self._lookup(actual)
        return document or self._keep(self._reader.read(text, actual, hide_suggestions=hide_suggestions))

    async def load(self, text: str, hash: str | None = None, *, hide_suggestions: bool = False) -> Document:
        """Does the same; reads a new long document in a thread."""
        actual = self._check_admitted(text, hash)
        if (document := self._lookup(actual)) is not None:
            return document
        if len(text) <= SHORT_CHARACTERS:
            return self._keep(self._reader.read(text, actual, hide_suggestions=hide_suggestions))
        read = partial(DOCUMENT_THREADS.run, self._reader.read, text, actual, hide_suggestions=hide_suggestions)
        return self._keep(await self._reading.get_or_run((actual, hide_suggestions), read))

    def _check_admitted(self, text: str, hash: str | None) -> str:
        actual = hash_text(text)
        if hash is not None and hash != actual:
            raise BadRequest("The document does not have the SHA-256 that came with it.")
        if self._trusted is not None and actual not in self._trusted_hashes:
            message = "This server executes only registered documents. Register this one, or send one that is."
            raise RequestError(message, {"code": "FORBIDDEN"})
        return actual

    def contains(self, text: str) -> bool:
        """Tells whether the document is here, so that reading it costs nothing."""
        return hash_text(text) in self._documents

    def _lookup(self, hash: str) -> Document | None:
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
        """Counts its bytes again, after plans were made of it."""
        hash = document.hash
        if self._documents.get(hash) is not document:
            return
        weight = document.bytes
        self._bytes += weight - self._weights.get(hash, 0)
        self._weights[hash] = weight
        if weight > self._max_bytes // MAX_SHARE:
            self._forget(hash)
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._documents)))

    def _forget(self, hash: str) -> None:
        del self._documents[hash]
        self._bytes -= self._weights.pop(hash)


def hash_text(text: str) -> str:
    return _hash_short_text(text) if len(text) <= REMEMBERED_CHARACTERS else hashlib.sha256(text.encode()).hexdigest()


@lru_cache(1000)
def _hash_short_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_trusted(path: Path) -> dict[str, str]:
    """Reads documents by their ids. Raises ValueError for a malformed file."""
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
