"""Models: versions, trainings, and the sensitivity of detection.

Knows accounts alone.
"""
