"""What is stored? The tables, and the documents in their JSON columns.

Offers SQLAlchemy classes. Must not know who asks.
"""
