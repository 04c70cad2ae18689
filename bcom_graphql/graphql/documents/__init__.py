"""What does a document ask for, is that allowed, and what does it cost?

Offers documents that are read, checked against limits, validated and priced. Must not know transports or execution.
"""
