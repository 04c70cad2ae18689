"""What is odd, why, and what helps? Arrays in, findings out.

Offers models, their training and their evaluation. Must not know any database, file, clock or unseeded randomness.
"""
