"""Who may use which root field, as the schema declares it: the table in docs/permissions.md."""

from collections import defaultdict
from functools import cache
from typing import Any

from resolvers.base.roles import Role
from schema.directives import Access
from schema.root import schema
from schema.root_fields import LimitRate

ROOTS = ("Query", "Mutation", "Subscription")


def declared(root: str, field: str) -> Role | None:
    """The least role of a root field, None for anybody. Raises StopIteration where it declares none."""
    return next(d.role for d in _definition(root, field).directives if isinstance(d, Access))


@cache
def needed(root: str, field: str) -> Role | None:
    """The same; anybody may look at the schema."""
    return None if field.startswith("__") else declared(root, field)


def matrix() -> str:
    """A Markdown table: one row a role, with what it may do besides what the rows above may; * is rated."""
    rows: dict[Role | None, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for root in ROOTS:
        for name in _fields(root):
            rated = any(isinstance(extension, LimitRate) for extension in _definition(root, name).extensions)
            rows[declared(root, name)][root].append(f"`{name}`" + r"\*" * rated)
    lines = [f"| | {' | '.join(ROOTS)} |", "|---|---|---|---|"]
    for role in (None, *Role):
        cells = [", ".join(rows[role][root]) for root in ROOTS]
        lines.append(f"| **{role or 'anybody'}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def _fields(root: str) -> list[str]:
    return [*getattr(schema._schema.get_type(root), "fields", {})]  # noqa: SLF001  graphql-core's


def _definition(root: str, field: str) -> Any:
    graphql_type: Any = schema._schema.get_type(root)  # noqa: SLF001  graphql-core's
    return graphql_type.fields[field].extensions["strawberry-definition"]
