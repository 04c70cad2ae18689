"""How do samples come in? By mutation and by file.

Offers recording: validated, stored and scored in one transaction. Must not know root causes.
"""
