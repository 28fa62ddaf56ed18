"""What a decoder says of bytes that are not what they should be. Apart, since it needs msgspec and nothing else."""

from __future__ import annotations

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises: not JSON or not of that kind, not UTF-8, or nested without end."""
