"""What should be done about a fault, and how soon?

Offers ranked actions and priorities for a case, and their training. Must not know how the fault was found.
"""
