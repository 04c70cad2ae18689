"""Telemetry: series and statistics that clients read, samples and files that they send.

Knows no noun but the metrics' catalogue; links and anomalies are named, not imported.
"""
