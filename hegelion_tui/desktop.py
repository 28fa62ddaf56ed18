"""A notification on the desktop of whoever watches: through a program where the desktop is here, else the terminal.

Locally ``notify-send`` or ``osascript`` is sure to arrive, whatever the terminal is. Over SSH there is no desktop here:
the terminal at the other end is told by OSC 9, which iTerm2, WezTerm, kitty, Ghostty, foot and others show and the rest
leave out. Only one of the two is used, and only one sequence, so that nothing is told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

from hegelion_core.commands.text import printable

PATIENCE = 5.0
"""Seconds that such a program has."""
_OSASCRIPT = ("on run argv", "display notification (item 1 of argv) with title (item 2 of argv)", "end run")
_TERMINALS_WITHOUT = {"linux", "dumb", ""}
"""Values of ``TERM`` for terminals that may print a sequence that they do not know."""


def command(
    title: str, text: str, environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> list[str]:
    """The program and its arguments that show a notification on this machine's desktop; empty if there is none."""
    if any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")):
        return []
    if platform == "darwin":
        found = ["osascript", *(part for line in _OSASCRIPT for part in ("-e", line)), text, title]
    elif any(environment.get(name) for name in ("WAYLAND_DISPLAY", "DISPLAY")):
        found = ["notify-send", "--app-name=hegelion", "--", title, text]
    else:
        return []
    return found if shutil.which(found[0], path=environment.get("PATH")) else []


def sequence(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The escape sequence that asks the terminal for a notification; empty where it would do harm.

    tmux hands it on to its terminal if ``allow-passthrough`` is on, and drops it else.
    """
    if environment.get("TERM", "") in _TERMINALS_WITHOUT:
        return ""
    told = f"\x1b]9;{printable(text).replace(chr(10), ' ')}\x07"
    if environment.get("TMUX"):
        doubled = told.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    return told


async def tell(title: str, text: str, write: Callable[[str], None]) -> None:
    """Show a notification, one way or the other; ``write`` sends a sequence to the terminal. Nothing is raised."""
    arguments = command(title, text)
    if not (arguments and await _succeeds(arguments)):
        write(sequence(f"{title}: {text}"))


async def _succeeds(arguments: list[str]) -> bool:
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        async with asyncio.timeout(PATIENCE):
            return await process.wait() == 0
    except OSError:  # a TimeoutError is one too
        return False
    finally:
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
