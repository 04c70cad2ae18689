"""How fast is the server, and how often is it right? Mostly as ratios to something else in the same run.

Offers programs, `python -m benchmarks.<name>`, whose docstrings say what is compared. Must not know what a server
keeps to itself where a client would see it too; nothing that is shipped imports them.
"""
