"""How does an operation become its answer, or its stream of answers?

Offers the engine. Must not know which transport asked, or what the schema is about.
"""
