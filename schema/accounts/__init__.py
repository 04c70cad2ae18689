"""Accounts: users, their sessions and API keys, and the history of who did what.

Knows no other room: every other may name a user.
"""
