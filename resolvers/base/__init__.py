"""What does every resolver need? Errors, access, tokens, rate limits, caches, workers, loading in batches.

Offers mechanisms, and the lists of roles, budgets and counters to which each room adds its entries. Must not know any
table or rule of a business noun.
"""
