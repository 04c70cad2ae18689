"""Root causes: analyses of why links degrade together.

Knows the fleet and accounts; recommendations are named, not imported.
"""
