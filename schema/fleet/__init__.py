"""The fleet: satellites, sites, networks and links, and how the topology changes.

Knows accounts and telemetry; anomalies of a target are named, not imported.
"""
