"""Which actions are there? What an engineer would try, by cause and by metric.

Offers typed actions. Must not know how they are ranked.
"""
