"""How does an operation become a response, or a stream of responses?

Offers the engine. Must not know which transport asked, or what the schema is about.
"""
