"""Answers: how are files from outside read? By a process of their own, which may die of them.

Offers `FileReaders`: typed rows of a CSV or Parquet file, batch by batch.
Must not know samples, but for the names of their columns.
"""
