"""What does a document ask, may it, and what does it cost?

Offers read, validated and priced documents. Must not know transports or execution.
"""
