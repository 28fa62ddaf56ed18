"""Which module is which teacher."""

from __future__ import annotations

import os

from hegelion_core.redaction import Redactor
from hegelion_core.settings import Settings, TeacherName
from hegelion_core.supervisor import Supervisor
from hegelion_core.teachers.discreet import Discreet
from hegelion_core.teachers.teacher import Teacher
from hegelion_core.workspace import RunFolder, Workspace


def make_teacher(
    name: TeacherName, supervisor: Supervisor, *, run: RunFolder, place: Workspace, settings: Settings
) -> Teacher:
    """The teacher called ``name``, not started yet. Its answers hold no credential of this process's environment."""
    redact = Redactor(os.environ, (settings.teacher.key_variable,))
    return Discreet(_teacher(name, supervisor, run=run, place=place, settings=settings), redact)


def _teacher(
    name: TeacherName, supervisor: Supervisor, *, run: RunFolder, place: Workspace, settings: Settings
) -> Teacher:
    if name == "local":
        from hegelion_core.teachers.local import LocalTeacher

        return LocalTeacher(supervisor, run=run, workspace=place, settings=settings)
    if name == "openai":
        from hegelion_core.teachers.openai_api import OpenAITeacher

        return OpenAITeacher(run=run, workspace=place, settings=settings)
    from hegelion_core.teachers.kimi import KimiTeacher

    return KimiTeacher(supervisor, run=run, workspace=place, settings=settings, dialect=name)
