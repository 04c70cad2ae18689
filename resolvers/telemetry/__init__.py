"""Answers: how do samples come in, and how are they read back?

Offers recording by mutation and by file, each batch validated, stored and scored in one transaction.
Must not know root causes or recommendations, nor how samples lie in PostgreSQL.
"""
