"""Operations compiled: graphql-core's answers, without its work at every field of every object.

graphql-core walks the document again for each object: it looks the field's definition up, makes a path and an info,
calls a resolver that reads an attribute, asks what kind of type this is, and asks again at the next object. All but the
attribute is the same for all objects of an operation. So it is done once for each operation, and what remains is
written down as Python:

    Compiled        an operation of a document, kept with it in the store      operations.py
      ExecutionPlan   … for one combination of what @skip and @include say     planning.py
        Shape           what is selected of one type at one place: a function  shapes.py
          Field           where a value comes from, and where it goes          fields.py

A worked example. Of

    query ($first: Int!) { anomalies(first: $first) { nodes { id severity target { ... on Link { number } } } } }

become three functions. `Query`'s calls the resolver of `anomalies`, which is to be awaited, and leaves a place in the
answer. `AnomalyConnection`'s takes the list of nodes and calls `Anomaly`'s for each of them; that one is shown in
`shapes.py`: it reads attributes into a dictionary, and notes for `target` that this node waits for it. Then

    run = Run(…)                                  the state of one execution      running.py
    run.data = query(run, root)                   pending: {anomalies: [root]}
    await run.settle()                            the resolver; then the nodes    pending: {target: [all the nodes]}
                                                  one query for all their targets; then `Link`'s function for each

So everything goes level by level: whatever a level waits for is begun at once, fields side by side, and a field that
knows how to resolve many objects together (its resolver has `together`, see `schema/batched_fields.py`) is asked once
for all objects of the answer that wait for it. There is a task for each field that is waited for, not for each object.

When nothing is wrong with a value, generated code settles it with a comparison of its class (`leaves.py`). When
something is, the same values are completed again field by field, as the specification and graphql-core have it
(`completing.py`): that finds the error, its path, and the place whose null it becomes. The tests hold both against
graphql-core, byte for byte (`tests/graphql/test_compiled_documents.py`).

Generated source consists of the schema's attribute names and of numbered variables. Aliases, arguments and all else
that comes from a client are values of those variables.
"""

from bcom_graphql.graphql.compiled.operations import Compiled, Execution

__all__ = ["Compiled", "Execution"]
