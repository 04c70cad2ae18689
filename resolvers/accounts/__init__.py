"""Who is calling, and what may they do? Users, sign-ins, sessions, API keys.

Offers identification and the management of accounts. Must not know telemetry.
"""
