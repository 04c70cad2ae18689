"""How are model versions and training runs stored?

Offers the registry, which loads artefacts, and the life of runs. Must not know how a model is trained or used.
"""
