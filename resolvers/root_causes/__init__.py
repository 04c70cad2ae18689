"""Why is it so? Analyses on request, and by themselves when alarms come together.

Offers analyses and the worker. Must not know recommendations.
"""
