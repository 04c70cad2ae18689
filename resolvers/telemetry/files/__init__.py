"""How are files from outside read? In a process of their own, which may die of them.

Offers `FileReaders`: typed rows of a CSV or Parquet file, batch by batch. Knows nothing of samples but the names of
their columns.
"""
