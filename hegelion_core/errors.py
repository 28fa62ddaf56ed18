"""What a user can cause: one or two clear lines and an exit code, never a traceback."""

from __future__ import annotations

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes a script can branch on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    COME_BACK_LATER = 75  # sysexits' EX_TEMPFAIL: a quota that refills
    INTERRUPTED = 130


class UserError(Exception):
    """Something that the user can mend: ``message`` says what and where, ``hint`` what to do."""

    def __init__(self, message: str, hint: str = "", exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def explain(error: OSError) -> UserError:
    """What the system refused, in words."""
    where = error.filename or "a file of this run"
    if error.errno == errno.ELOOP:
        return UserError(
            f"{where}: is a link, and what it leads to is not written.",
            "Remove the link; or name the file that it leads to.",
            ExitCode.USAGE,
        )
    if error.errno == errno.EMLINK:
        return UserError(
            f"{where}: is a hard link: the file has another name, under which it would be changed too.",
            "Make it a file of its own: copy it, and put the copy in its place.",
            ExitCode.USAGE,
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{where}: the disk is full.",
            "Make room and run the same command again; nothing that was accepted is lost.",
        )
    return UserError(f"{where}: {error.strerror or error}.", "Mend that and run the same command again.")
