"""How do operations arrive, and responses leave? HTTP, WebSockets, server-sent events, uploads.

Offers ASGI applications and uvicorn protocols. Must not know how operations are executed.
"""
