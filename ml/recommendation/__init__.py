"""What should be done about a fault, and how soon?

Offers ranked actions and priorities for a fault case, and the training of what ranks them. Must not know how the fault
was found.
"""
