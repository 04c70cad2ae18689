"""One store of documents per process: parsed, measured, validated and priced once, found again by their SHA-256.

A document is a client's word: whatever is wrong with it is kept as well, so that sending it again costs as little. The
store forgets what has not been asked for longest, and is bounded by what it holds in memory. Automatic persisted
queries find what anybody has sent before; with trusted documents there is nothing else to find.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import orjson
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import OverlappingFieldsCanBeMergedRule

from bcom_graphql.graphql.compiled import Compiled
from bcom_graphql.graphql.costs import Costs, Pricer
from bcom_graphql.graphql.errors import Refused, bad_request, too_complex
from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.measures import Measurer, excesses
from bcom_graphql.graphql.merging import FieldsMergeRule
from bcom_graphql.graphql.sharing import reaching
from bcom_graphql.graphql.tokens import count_tokens
from bcom_graphql.graphql.variables import Variables

CACHED_BYTES = 64 * 1024 * 1024
CHARACTERS_OF_POINT = 4  # of a document that is new and must be read
BYTES_OF_TOKEN = 500  # of a syntax tree, as measured with tracemalloc
BYTES_OF_PLANNED_TOKEN = 1_400  # of one plan, of those that its conditions make several of
BYTES_OF_DOCUMENT = 2_000  # of one that is nothing but an error
USUAL_LENGTH = 5_000  # characters of a document whose digest is remembered
LONGEST_TOKEN = 40  # characters, on average: what is longer has no business in a document
RULES = (*(rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule), FieldsMergeRule)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of an operation before it is executed."""

    node: OperationDefinitionNode
    costs: Costs
    introspects: bool
    reaching: frozenset[str]  # of a subscription: variables on which what it selects of its events depends
    compiled: Compiled
    variables: Variables

    @property
    def type(self) -> OperationType:
        return self.node.operation


@dataclass(frozen=True)
class Document:
    """A document as somebody sent it; without operations when it cannot be executed, for the reasons in `errors`."""

    hash: str
    bytes: int  # in memory, roughly
    tree: DocumentNode | None = None
    errors: Sequence[GraphQLError] = ()
    plans: Mapping[str | None, Plan] | None = None
    points: int = 0  # what reading it costs, and again each of its plans

    def plan(self, name: str | None) -> Plan:
        """The operation of this name, or the only one. Raises Refused."""
        plans = self.plans or {}
        if not name:
            if len(plans) > 1:
                raise bad_request("The document has several operations; say which with `operationName`.")
            if not plans:
                raise bad_request("The document has no operation.")
            return next(iter(plans.values()))
        if name not in plans:
            raise bad_request(f"The document has no operation named {name!r}.")
        return plans[name]

    @cached_property
    def plain_errors(self) -> Sequence[GraphQLError]:
        """The errors without a hint at what the schema has instead."""
        return [_without_suggestion(error) for error in self.errors]


SUGGESTION = re.compile(r" Did you mean .*\?$", re.DOTALL)


def _without_suggestion(error: GraphQLError) -> GraphQLError:
    message = SUGGESTION.sub("", error.message)
    return error if message == error.message else GraphQLError(message, error.nodes)


class DocumentStore:
    """Finds documents by their text or by their hash."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, trusted: Mapping[str, str] | None = None) -> None:
        """`trusted` documents by their ids: no others are admitted then."""
        self._schema = schema
        self._limits = limits
        self._trusted = trusted
        self._trusted_hashes = {digest(text) for text in (trusted or {}).values()}
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self._bytes = 0

    def named(self, id: str) -> Document:
        """A registered document, or one that was sent before. Raises Refused when there is none."""
        if self._trusted is not None and id in self._trusted:
            return self.sent(self._trusted[id])
        document = self._known(id)
        if document is None or (self._trusted is not None and id not in self._trusted_hashes):
            raise Refused("PersistedQueryNotFound", {"code": "PERSISTED_QUERY_NOT_FOUND"})
        return document

    def sent(self, text: str, hash: str | None = None) -> Document:
        """The document with this text. Raises Refused if it is not trusted, or does not have the hash it should."""
        actual = digest(text)
        if hash is not None and hash != actual:
            raise bad_request("The document does not have the SHA-256 that came with it.")
        if self._trusted is not None and actual not in self._trusted_hashes:
            message = "This server executes registered documents only; this one is not among them."
            raise Refused(message, {"code": "FORBIDDEN"})
        return self._known(actual) or self._keep(self._read(text, actual))

    def knows(self, text: str) -> bool:
        """Whether reading it again costs nothing."""
        return digest(text) in self._documents

    def _known(self, hash: str) -> Document | None:
        document = self._documents.get(hash)
        if document is not None:
            self._documents.move_to_end(hash)
        return document

    def _keep(self, document: Document) -> Document:
        self._documents[document.hash] = document
        self._bytes += document.bytes
        while self._bytes > CACHED_BYTES and len(self._documents) > 1:
            _, oldest = self._documents.popitem(last=False)
            self._bytes -= oldest.bytes
        return document

    # ------------------------------------------------------------ reading

    def _read(self, text: str, hash: str) -> Document:
        """Parsed, measured and validated, in this order: each step bounds what the next one may cost."""
        longest, most = self._limits.tokens * LONGEST_TOKEN, self._limits.tokens
        if len(text) > longest:
            message = f"This document has {len(text)} characters; at most {longest} are allowed. Use variables."
            return Document(hash, BYTES_OF_DOCUMENT, errors=[too_complex(message)])
        tokens = count_tokens(text)
        if tokens > most:
            message = f"This document has {tokens} tokens; at most {most} are allowed. Use variables for values."
            return Document(hash, BYTES_OF_DOCUMENT, errors=[too_complex(message)])
        size = BYTES_OF_DOCUMENT + len(text) + tokens * BYTES_OF_TOKEN
        try:
            tree = parse(text)
        except GraphQLError as error:
            return Document(hash, size, errors=[error])
        operations = [d for d in tree.definitions if isinstance(d, OperationDefinitionNode)]
        measurer = Measurer(tree)
        measures = [measurer.operation(operation) for operation in operations]
        errors = [too_complex(excess) for excess in excesses(measures, measurer.fragments.values(), self._limits)]
        errors = errors or validate(self._schema, tree, RULES)
        if errors:
            return Document(hash, size, errors=errors)
        pricer = Pricer(self._schema, tree, self._limits.page)
        plans = {
            operation.name.value if operation.name else None: Plan(
                operation,
                Costs(pricer.operation(operation), self._limits.page),
                measure.introspects,
                reaching(operation, tree),
                Compiled(self._schema, tree, operation),
                Variables(self._schema, operation),
            )
            for operation, measure in zip(operations, measures, strict=True)
        }
        size += tokens * BYTES_OF_PLANNED_TOKEN * sum(plan.compiled.most_plans for plan in plans.values())
        return Document(hash, size, tree, plans=plans, points=len(text) // CHARACTERS_OF_POINT)


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
