"""What keeps the server going? Partitions, retention and gauges.

Offers maintenance and what is observed of it. Must not know what clients may ask, nor how metrics are served.
"""
