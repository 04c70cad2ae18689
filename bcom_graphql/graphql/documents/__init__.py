"""What does a document ask for, is that allowed, and what does it cost?

Offers read, validated and priced documents. Must not know transports or execution.
"""
