"""How are samples and what is learned from them stored and read?

Offers statements in SQL for samples, roll-ups, series, streams and profiles.
"""
