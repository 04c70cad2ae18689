"""Recommendations: what to do about an anomaly, a detection or an analysis, and what came of it.

Knows anomalies, root causes, the fleet and accounts.
"""
