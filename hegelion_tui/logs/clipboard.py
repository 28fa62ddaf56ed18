"""Programs that put text on the clipboard, for terminals that don't take it from an escape sequence (OSC 52)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

PATIENCE = 2.0
"""Seconds that such a program has."""


def clipboard_commands(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> list[list[str]]:
    """The commands that reach a clipboard from here, if they are installed."""
    found: list[list[str]] = []
    if environment.get("TMUX"):
        found.append(["tmux", "load-buffer", "-w", "-"])
    if platform == "darwin":
        found.append(["pbcopy"])
    if environment.get("WAYLAND_DISPLAY"):
        found.append(["wl-copy"])
    if environment.get("DISPLAY"):
        found += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return found


async def copy_with_programs(text: str) -> list[str]:
    """Give ``text`` to every such program that there is; the names of those that took it."""
    taken: list[str] = []
    for command in clipboard_commands():
        if shutil.which(command[0]) is None:
            continue
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await process.communicate(text.encode("utf-8", "replace"))
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            continue
        if process.returncode == 0:
            taken.append(command[0])
    return taken
