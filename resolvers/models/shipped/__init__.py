"""Which models does a new database start with? Those in this folder, trained from the default seed.

Offers their files, and `versions.py`, which stores or trains them. Must not know when that is done.
"""
