"""Why is it so? Analyses on request, and of any set of links.

Offers analyses and the analyzer. Must not know incidents or recommendations.
"""
