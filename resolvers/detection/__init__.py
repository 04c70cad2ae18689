"""Answers: what is anomalous now?

Offers anomalies and their life, detection on request, scoring of recorded samples, profiles and sensitivity.
Must not know how samples come in, root causes or recommendations.
"""
