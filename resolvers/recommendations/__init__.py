"""What should be done about a fault? Ranked actions for anomalies and analyses, and their outcomes.

Offers recommendations, their worker, and the reader of an operator's playbook. Must not know how faults are found.
"""
