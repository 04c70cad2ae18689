"""Packs files as other tools do."""

import sys


def compress_by_zstd(content: bytes) -> bytes:
    """As one frame, with a checksum."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    packed: bytes = zstd.compress(content, options={int(zstd.CompressionParameter.checksum_flag): 1})
    return packed
