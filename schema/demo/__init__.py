"""How well the server told of the demo's faults.

Knows the fleet and root causes.
"""
