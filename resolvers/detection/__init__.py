"""What is anomalous now? Scoring of recorded samples and on request, episodes, profiles, sensitivity.

Offers anomalies and their life. Must not know root causes or recommendations.
"""
