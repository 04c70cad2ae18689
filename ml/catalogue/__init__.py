"""What do the other rooms talk about? Metrics, root causes, the fleet's topology, models by name.

Offers types and tables of facts. Must not know how anything is detected, explained or recommended.
"""
