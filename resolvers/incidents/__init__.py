"""One incident per fault: correlated from anomalies, explained, and worked on by people.

Offers listings, the workflow and the workers. Must not know how the API names things.
"""
