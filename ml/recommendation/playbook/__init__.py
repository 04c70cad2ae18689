"""Which actions are there? What an engineer would try, by cause and by metric, as TOML files to edit.

Offers typed actions, and playbooks from TOML texts. Must not know cases, nor how actions are ranked.
"""
