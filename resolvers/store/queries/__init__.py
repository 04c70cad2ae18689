"""What is asked of several tables at once?

Offers queries for analyses, labels, outcomes and sign-ins. Must not know who may ask.
"""
