"""How good is a detector on somebody's labelled series?

Offers data sets, the protocol and reference detectors to beat. Must not know how ours works.
"""
