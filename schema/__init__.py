"""The GraphQL schema, in rooms by business noun: types, inputs, queries, mutations and subscriptions.

A field calls one resolver and wraps the row. No room imports one above it: it names its types with `lazy_type`.
Knows no HTTP, no SQL and no transport.
"""
