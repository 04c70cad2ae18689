"""How well does the server do in the demo, where the truth is known?

Offers the fleet's clock, what incidents said when, and the scorecard. Must not know how faults are drawn.
"""
