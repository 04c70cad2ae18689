"""Answers: how are samples, and what is learned from them, stored and read?

Offers statements in SQL for samples, roll-ups, series, streams and profiles.
Must not know who may ask, nor how samples are validated or scored.
"""
