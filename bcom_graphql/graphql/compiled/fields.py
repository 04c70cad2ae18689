"""Fields of a selection: how each gets its value, for one object or for all that wait for it.

Most are attributes, which generated code reads by itself (see `shapes.py`). A resolver that knows how to resolve many
objects together (its function has `together`) is called once for all of them. Any other is called for each object, as
it is declared; what they await goes on side by side.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    Undefined,
    default_field_resolver,
    is_non_null_type,
)

from bcom_graphql.graphql.compiled.arguments import Arguments
from bcom_graphql.graphql.compiled.completion import completer
from bcom_graphql.graphql.compiled.resolve_info import ResolveInfo
from bcom_graphql.graphql.compiled.state import (
    Around,
    Complete,
    Position,
    Run,
    Selections,
    Waiting,
    is_awaitable,
    outcome,
    outcomes,
)
from bcom_graphql.graphql.compiled.strawberry_adapter import Resolve, around, calling

TYPENAME = "__typename"
Together = Callable[[Sequence[Any], Any], Awaitable[Sequence[Any]]]


class Field:
    """One field of the answer: all nodes of one response key, in a selection on one object type."""

    def __init__(
        self,
        plan: Selections,
        parent: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        definition: GraphQLField,
    ) -> None:
        self.plan, self.parent, self.key, self.nodes, self.definition = plan, parent, key, nodes, definition
        self.name = nodes[0].name.value
        self.is_typename = self.name == TYPENAME
        self.type = definition.type
        self.nullable = not is_non_null_type(self.type)
        self.attribute = plan.declared.attribute(definition)
        self._given = Arguments(definition, nodes[0])
        self._resolve: Resolve = definition.resolve or default_field_resolver
        self._declared = plan.declared.bare(definition)
        self.together: Together | None = None
        if self._declared is not None:
            resolver: Any = self._declared.base_resolver
            self.together = getattr(resolver.wrapped_func, "together", None)
            self._resolve = around(definition)(calling(resolver))
            self._converted = plan.declared.arguments(definition, self._declared)

    @cached_property
    def complete(self) -> Complete:
        """Completes values of it."""
        return completer(self, self.type)

    def settled(self, run: Run, value: Any, at: Position, complete: Complete) -> bool:
        """Whether there is no value to complete: null, an exception returned instead of raised, or one to wait for."""
        if value is None or value is Undefined:
            run.null(self, at)
        elif isinstance(value, Exception):
            run.fail(self, value, at)
        elif is_awaitable(value):
            run.later(self, value, at, complete)
        else:
            return False
        return True

    # ------------------------------------------------------------ for one object

    def begin(self, run: Run, source: Any, into: dict[str, Any], within: Around) -> None:
        """Its value now, or a place for it, and what fills that among what the run has to do."""
        at = (within, self.key, self.nullable)
        into[self.key] = self.parent.name if self.is_typename else None
        if self.is_typename:
            return
        if self.together is not None:
            run.pending[self].append((source, into, at))
            return
        try:
            value = self._value(run, source, within)
            waits = is_awaitable(value)
        except Exception as error:  # noqa: BLE001  told where it belongs
            run.fail(self, error, at)
            return
        if waits:
            run.pending[self].append((value, into, at))
        else:
            into[self.key] = self.complete(run, value, at)

    def _value(self, run: Run, source: Any, within: Around) -> Any:
        if self.attribute is not None:
            return getattr(source, self.attribute)
        info = self._info(run, within)
        return self._resolve(source, info, **self._arguments(run, info))

    def _info(self, run: Run, within: Around) -> Any:
        raw = ResolveInfo(run, self, within)
        return raw if self._declared is None else self.plan.declared.info(raw, self._declared)

    def _arguments(self, run: Run, info: Any) -> dict[str, Any]:
        """The same for all objects of an execution. Raises what is wrong with them for each of them."""
        if not self.definition.args:
            return {}
        if self not in run.arguments:
            try:
                run.arguments[self] = self._read(run, info)
            except Exception as error:  # noqa: BLE001  see above
                run.arguments[self] = error
        found = run.arguments[self]
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    def _read(self, run: Run, info: Any) -> dict[str, Any]:
        values = self._given.values(run.variables, hide_suggestions=run.hide_suggestions)
        return values if self._declared is None else self._converted(values, info)

    # ------------------------------------------------------------ for all that wait

    async def settle(self, run: Run, waiting: list[Waiting]) -> None:
        """Their values, and all that is below them."""
        key, complete = self.key, self.complete
        for (_, into, at), value in zip(waiting, await self._values(run, waiting), strict=True):
            into[key] = complete(run, value, at)
        await run.settle()

    async def _values(self, run: Run, waiting: list[Waiting]) -> Sequence[Any]:
        first = [one[0] for one in waiting]
        if self.together is None or not waiting:
            return await outcomes(first)
        values = await outcome(self.together(first, self._info(run, waiting[0][2][0])))
        if not isinstance(values, Exception) and len(values) != len(first):
            values = ValueError(f"{self.parent}.{self.name} has {len(values)} values for {len(first)} objects")
        return [values] * len(first) if isinstance(values, Exception) else values
