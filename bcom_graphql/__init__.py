"""How is it served? The composition root, the protocol server and the command line."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bcom-graphql")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0"
