"""What happens then? First access is checked, then the work is done, then changes are published.

Offers functions that take a context and plain values, return rows, and raise `ClientError`s. Must not know GraphQL,
HTTP or settings.
"""
