"""What should be done? Ranked actions for anomalies and analyses, and their outcomes.

Offers recommendations and the worker.
"""
