"""Telemetry: series and statistics out, samples and files in.

Knows no noun but the metrics' catalogue; links and anomalies are named, not imported.
"""
