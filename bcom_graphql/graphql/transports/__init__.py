"""How do operations arrive, and responses leave? HTTP, WebSockets, server-sent events, uploads.

Offers ASGI applications and uvicorn protocols. Must not know how an operation becomes a response: that is the engine's,
which they call.
"""
