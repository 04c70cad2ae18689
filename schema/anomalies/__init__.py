"""Anomalies: detection on request, episodes, and how people handle them.

Knows the fleet and accounts; analyses and recommendations are named, not imported.
"""
