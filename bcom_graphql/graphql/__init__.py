"""A GraphQL server: transports, documents, execution, and compiled operations.

Must not know our schema, resolvers or settings.
"""
