"""How are model versions and training runs stored?

Offers the registry, which loads artefacts, and the life of runs.
"""
