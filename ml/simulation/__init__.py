"""What would a fleet report, healthy or with a known fault?

Offers fleets, faults and their telemetry, reproducible by seed. Must not know how faults are detected
or explained.
"""
