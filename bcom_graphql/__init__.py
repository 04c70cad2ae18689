"""How is it served? Everything put together, the protocol server, the command line, and what operators see.

Offers `app.create` and the commands. Must not decide anything about satellites: it asks `schema` and `resolvers`.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bcom-graphql")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0"
