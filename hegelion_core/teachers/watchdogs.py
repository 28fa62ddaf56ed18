"""The three watchdogs of a call to a teacher: first line, silence, total. Pure."""

from __future__ import annotations

from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import TeacherFault


def speaks_only_once(limits: GenerationSettings) -> GenerationSettings:
    """The limits for a program that says nothing before its answer: its first line may take as long as any silence."""
    return limits.model_copy(update={"first_line_timeout": limits.silence_timeout})


def check(limits: GenerationSettings, *, now: float, started: float, last: float, spoke: bool) -> None:
    """Whether a call may go on; times are in seconds of one clock.

    Args:
        limits: the three limits, in seconds.
        now: the present.
        started: when the call began.
        last: when the teacher wrote last, or ``started``.
        spoke: whether it has written anything.

    Raises:
        TeacherFault: ``timeout``, one of them barks.
    """
    if now - started > limits.total_timeout:
        raise TeacherFault("timeout", f"No end after {limits.total_timeout:.0f} s (generation.total_timeout).")
    if not spoke and now - started > limits.first_line_timeout:
        raise TeacherFault("timeout", f"No line in {limits.first_line_timeout:.0f} s (generation.first_line_timeout).")
    if now - last > limits.silence_timeout:
        raise TeacherFault("timeout", f"Silent for {limits.silence_timeout:.0f} s (generation.silence_timeout).")
