"""What does the server tell whoever runs it? Logs, Prometheus metrics, traces, health.

Must not know what is served.
"""
