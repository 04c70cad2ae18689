"""Where is everything kept, and who is told of a change? PostgreSQL, tables, samples, events, model versions.

Offers tables, statements and the event feed. Must not know who may ask, nor why.
"""
