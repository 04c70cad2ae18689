"""Validates the literals of a document, with a bound on the errors of each."""

from typing import Final

from graphql import GraphQLError, GraphQLInputType, ValidationContext, ValueNode, ValuesOfCorrectTypeRule, VisitorAction

MAX_ERRORS: Final = 3  # of one literal; each error prints the whole literal


class _TooManyErrors(Exception):
    """Stops the validation of a literal."""


class LiteralsRule(ValuesOfCorrectTypeRule):
    """Replaces graphql-core's rule, whose work grows with a literal's size times its errors."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._errors = 0

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        self._errors = 0
        try:
            return super().is_valid_value_node(node, input_type)
        except _TooManyErrors:
            return self.SKIP

    def report_error(self, error: GraphQLError) -> None:
        super().report_error(error)
        self._errors += 1
        if self._errors >= MAX_ERRORS:
            raise _TooManyErrors
