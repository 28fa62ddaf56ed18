"""The sample: one line of the training data file."""

from __future__ import annotations

import msgspec


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The dialectical reasoning behind one answer."""

    thesis: str
    antithesis: str
    synthesis: str
    contradictions: tuple[str, ...] = ()
    research_proposals: tuple[str, ...] = ()


class SampleTrace(msgspec.Struct, frozen=True, kw_only=True):
    """``hegelion_trace`` of a sample: the parsed trace and where it came from."""

    query: str
    mode: str
    """``single`` (one reply), ``turns`` (one reply a section) or ``dialogue`` (one call a section, with a council)."""
    thesis: str
    antithesis: str
    synthesis: str
    contradictions: tuple[str, ...] = ()
    research_proposals: tuple[str, ...] = ()
    metadata: dict[str, object] = {}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted sample. ``output`` holds the ``<thought>`` block and the answer."""

    id: str
    instruction: str
    output: str
    system: str
    hegelion_trace: SampleTrace
    input: str = ""
