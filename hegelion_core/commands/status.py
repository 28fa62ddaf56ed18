"""``hegelion-console --status``: where the newest run stands, from files alone; with ``--watch`` again and again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from hegelion_core.again import typed
from hegelion_core.commands import status_words
from hegelion_core.commands.streams import write_result
from hegelion_core.commands.text import printable, printable_json
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.glance import Glance, Onlooker
from hegelion_core.presence import is_free
from hegelion_core.workspace import Workspace

EVERY = 2.0
"""Seconds between two looks of ``--watch``."""


def status(workspace: Path, *, demo: bool, as_json: bool, watch: bool = False) -> ExitCode:
    """Print the state of the run that was at work last; with ``watch`` until someone ends it.

    Raises:
        UserError: there is no run yet, and nobody waits for one.
    """
    place = Workspace(workspace.resolve(), demo)
    onlooker = Onlooker(place)
    if not watch:
        glance = onlooker.look(time.time())
        if glance is None:
            demo_ran = not demo and bool(Workspace(place.root, demo=True).all_runs())
            hint = "The demo's is told with --demo." if demo_ran else f"Start one: {typed(place, '--run-all')}"
            raise UserError(f"No run in {place.artifacts} yet.", hint)
        write_result(_text(glance, place, as_json=as_json))
        return ExitCode.DONE

    def look() -> str:
        return _text(onlooker.look(time.time()), place, as_json=as_json)

    if sys.stdout.isatty() and not as_json:
        from hegelion_core.commands.repaint import repaint

        repaint(look, EVERY)
        return ExitCode.DONE
    try:
        while write_result(look() + ("" if as_json else "\n")):
            time.sleep(EVERY)
    except KeyboardInterrupt:
        pass
    return ExitCode.DONE


def _text(glance: Glance | None, place: Workspace, *, as_json: bool) -> str:
    if as_json:
        return printable_json(msgspec.json.encode(status_words.plain(glance) if glance is not None else None))
    if glance is None:
        return printable(f"No run in {place.artifacts} yet.\n")
    lines = status_words.lines(glance)
    other = Workspace(place.root, demo=not place.demo)
    if not glance.core and not is_free(other):
        lines = [*lines, f"The {'demo' if other.demo else 'real job'} is open: {typed(other, '--status')}"]
    return "".join(f"{printable(line)}\n" for line in lines)
