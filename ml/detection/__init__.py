"""Which readings are anomalous?

Offers features, profiles of what is ordinary, the detector, its training, and episodes. Must not know root causes.
"""
