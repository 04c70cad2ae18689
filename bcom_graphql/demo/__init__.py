"""The demo: an invented fleet with two days of history, kept alive with a fault now and then.

Offers the fleet and its history, the faults, and the worker that feeds samples. Must not know what the server makes of
it: that, and the scorecard, are in `resolvers.demo`.
"""
