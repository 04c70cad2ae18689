"""Incidents: one per fault, and how people work on them.

Knows the fleet, accounts, anomalies, analyses and recommendations; these name incidents without importing them.
"""
