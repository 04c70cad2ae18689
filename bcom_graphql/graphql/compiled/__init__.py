"""How is an operation executed fast? Compiled to Python, with graphql-core's results.

Offers CompiledOperation and Execution. Must not know documents, execution or our schema.

graphql-core walks the document again for each object: it looks up the field's definition, makes a path and an info,
calls a resolver that reads an attribute, asks what kind of type this is, and asks again at the next object. All but the
attribute is the same for all objects of an operation. So it is done once per operation, and the rest is generated:

    CompiledOperation     an operation of a document, kept with it in the store       operations.py
      ExecutionPlan       … for one combination of its @skip and @include             plan.py
        ObjectSelection   what is selected of one type at one place: a function       objects.py
          Field           where a value comes from, and where it goes                 fields.py

For example,

    query ($first: Int!) { anomalies(first: $first) { nodes { id severity target { ... on Link { number } } } } }

becomes three functions. `Query`'s calls the resolver of `anomalies`, which returns an awaitable, and leaves a place in
the data. `AnomalyConnection`'s takes the list of nodes and calls `Anomaly`'s for each. That one is shown in
`objects.py`: it reads attributes into a dictionary, and notes that this node waits for `target`. Then

    state = ExecutionState(…)                  the state of one execution         state.py
    state.data = query(state, root)            pending: {anomalies: [root]}
    await state.resolve_pending()              the resolver, then the nodes       pending: {target: [all nodes]}
                                               one query for all targets, then `Link`'s function for each

So execution goes level by level: all fields of a level are resolved side by side, and a field that can be resolved for
many objects at once (its resolver has `resolve_many`, see `schema/batched_fields.py`) is resolved once for all of them.
There is a task for each pending field, not for each object.

Generated code completes a correct value with one comparison of its class (`leaves.py`). If anything is wrong, the same
values are completed again field by field, as the specification and graphql-core do (`completion.py`): that finds the
error, its path, and the place that becomes null. The tests compare both with graphql-core, byte for byte
(`tests/graphql/test_compiled_documents.py`).

Generated source consists of the schema's attribute names and of numbered variables. Aliases, arguments and all else
that comes from a client are values of those variables.
"""

from bcom_graphql.graphql.compiled.operations import CompiledOperation, Execution

__all__ = ["CompiledOperation", "Execution"]
