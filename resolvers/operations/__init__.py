"""What keeps the server going? Partitions, retention and gauges.

Offers maintenance and what is observed of it.
"""
