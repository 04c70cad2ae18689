"""What does every resolver need? Errors, access, tokens, rate limits, loading in batches.

Offers mechanisms. Must not know any business noun.
"""
