"""What do many anomalies have in common, and who is the culprit?

Offers the analysis of a window: patterns with cause, culprit, onset and evidence. Must not know recommendations.
"""
