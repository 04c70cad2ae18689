"""Whether the values that are written in a document are of their types."""

from typing import Final

from graphql import GraphQLError, GraphQLInputType, ValidationContext, ValueNode, ValuesOfCorrectTypeRule, VisitorAction

MOST_ERRORS: Final = 3  # of one literal: each of them prints the whole, however little of that is shown


class _Enough(Exception):
    """Nobody reads on."""


class LiteralsRule(ValuesOfCorrectTypeRule):
    """Takes the place of graphql-core's rule, whose work grows with a literal's size times its errors."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._told = 0

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        self._told = 0
        try:
            return super().is_valid_value_node(node, input_type)
        except _Enough:
            return self.SKIP

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(error)
        self._told += 1
        if self._told >= MOST_ERRORS:
            raise _Enough
