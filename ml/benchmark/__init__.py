"""Answers: how good is a detector on somebody's labelled series?

Offers series, the protocol, and reference detectors to beat.
Must not know how our detector works, nor in which files the series lie.
"""
