"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does; that is for the benchmarks to tell.
settings.register_profile("hegelion", deadline=None)
settings.load_profile("hegelion")
