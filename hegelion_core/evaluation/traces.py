"""Whether an answer is what the student was to learn. Pure; apart, since the parser takes long to import."""

from __future__ import annotations

from hegelion_core.dialectic.parsing import SampleFault, parse_output


def holds_complete_trace(text: str) -> bool:
    """Whether an answer holds thesis, antithesis and synthesis in a closed block, and an answer behind it."""
    try:
        parsed = parse_output(text)
    except SampleFault:
        return False
    return all((parsed.thesis, parsed.antithesis, parsed.synthesis, parsed.answer))
