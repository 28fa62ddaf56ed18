"""``hegelion-console --run-all``: every stage, from prompts to an evaluated adapter."""

from __future__ import annotations

from pathlib import Path

from hegelion_core.commands import headless
from hegelion_core.errors import ExitCode
from hegelion_core.events import STAGES
from hegelion_core.settings import resolve
from hegelion_core.workspace import Workspace


def run_all(
    workspace: Path, flags: dict[str, object], *, demo: bool, new: bool, as_json: bool, dry_run: bool
) -> ExitCode:
    """Run every stage in this process."""
    root = workspace.resolve()
    resolved = resolve(root, flags, demo=demo)
    return headless.run(Workspace(root, demo), resolved, "run-all", STAGES, as_json=as_json, new=new, dry_run=dry_run)
