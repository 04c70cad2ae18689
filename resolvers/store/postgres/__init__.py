"""How do we talk to PostgreSQL? Connections, pools, locks, migrations, the embedded server.

Offers mechanisms. Must not know which tables there are.
"""
