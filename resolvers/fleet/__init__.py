"""What is there? Satellites, networks, sites and links.

Offers reading and writing the topology. Must not know what is measured of it.
"""
