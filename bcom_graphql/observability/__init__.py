"""What does the server tell whoever runs it? Logs, Prometheus metrics, traces, health.

Offers routes and log processors. Must not know the schema.
"""
