"""Answers: what does a value mean that comes from outside? The same for rows, columns, CSV and Parquet.

Offers what is missing, what a number is, what a whole number is, and what a moment is, with a reason for all else.
Must not know files, requests or the server: the process that reads files uses this, too. Polars only.
"""
