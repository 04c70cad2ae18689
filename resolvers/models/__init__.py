"""Which models serve, and how do new ones come? Versions, promotion, training, export.

Offers the management of models. Must not know what they are used for.
"""
