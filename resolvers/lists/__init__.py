"""How are rows paged, sorted and loaded?

Offers listings, Relay pagination and loaders. Must not know what is done with the rows.
"""
