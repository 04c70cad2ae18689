"""Operations for every root field, by schemathesis."""

import json
from typing import Any

import graphql
import schemathesis
from schemathesis import GenerationMode

from schema.root import schema as contract
from tests.fuzz.values import CUSTOM, SURROGATE, as_json, examples, literal


def generators_of() -> dict[str, Any]:
    """Schemathesis' operation for each root field; a subscription's, too, which it takes for a query's."""
    for name, strategy in CUSTOM.items():
        schemathesis.graphql.scalar(name, strategy.map(literal))
    asked = contract.introspect()
    loaded = schemathesis.graphql.from_dict(asked)
    pretended = {"__schema": {**asked["__schema"], "queryType": {"name": "Subscription"}, "mutationType": None}}
    streamed = schemathesis.graphql.from_dict(pretended)
    every = [(kind, loaded) for kind in ("Query", "Mutation")] + [("Subscription", streamed)]
    return {f"{kind}.{name}": source[kind][name] for kind, source in every for name in source[kind]}


def documents(name: str, generator: Any, count: int, number: int) -> list[str]:
    """Valid ones mostly, and some with something wrong."""
    modes = ((GenerationMode.POSITIVE, count), (GenerationMode.NEGATIVE, max(count // 4, 1)))
    strategies = [(generator.as_strategy(generation_mode=mode), share) for mode, share in modes]
    bodies = [case.body for strategy, share in strategies for case in examples(strategy, share, number)]
    return [f"subscription {body.removeprefix('query')}" if "Subscription" in name else body for body in bodies]


def with_variables(document: str, schema: graphql.GraphQLSchema) -> tuple[str, dict[str, Any]]:
    """The same, its arguments given as variables."""
    info, variables, declared = graphql.TypeInfo(schema), {}, []

    class Extract(graphql.Visitor):
        def enter_argument(self, node: graphql.ArgumentNode, *_: Any) -> graphql.ArgumentNode | None:
            if info.get_input_type() is None:
                return None
            variable = f"v{len(variables)}"
            variables[variable] = graphql.value_from_ast_untyped(node.value)
            declared.append(f"${variable}: {info.get_input_type()}")
            named = graphql.VariableNode(name=graphql.NameNode(value=variable))
            return graphql.ArgumentNode(name=node.name, value=named)

    tree = graphql.visit(graphql.parse(document), graphql.TypeInfoVisitor(info, Extract()))
    kind, _, rest = graphql.print_ast(tree).partition("{")
    declarations = f"({', '.join(declared)})" if declared else ""
    halved = json.loads(json.dumps(variables).replace(as_json(SURROGATE)[1:-1], "\\ud800"))
    return f"{kind.strip() or 'query'} {declarations} {{{rest}", halved
