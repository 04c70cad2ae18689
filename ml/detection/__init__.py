"""Answers: which readings are anomalous?

Offers features, stream profiles, the detector, its training and evaluation, and episodes.
Must not know root causes, recommendations or benchmarks, nor where samples are stored.
"""
