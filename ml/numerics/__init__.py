"""Which mathematics is needed that numpy does not have? Robust statistics, runs, trees, distances on the Earth.

Offers functions of arrays. Must not know what the numbers mean.
"""
