"""A run in which whatever can be said is said by an attacker."""

from __future__ import annotations

import typing
from collections.abc import Iterable

from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.events import AnyEvent
from tests.tui.fake_operations import answered, ended, generating, opened, step, training

STRUCTURAL = {"run_id", "folder", "path", "adapter_path", "prompt_id"}
"""Fields by which files are found and things are told apart."""


def evil(found: Iterable[AnyEvent], text: str) -> list[AnyEvent]:
    """Events, each free text of which is ``text``."""
    return [replace(event, **dict.fromkeys(_free_texts(type(event)), text)) for event in found]


def _free_texts(kind: type[e.Event]) -> list[str]:
    hints = typing.get_type_hints(kind)
    return [name for name in kind.__struct_fields__ if hints[name] is str and name not in STRUCTURAL]


def everything(text: str) -> list[AnyEvent]:
    """A run in which everything that can be said is ``text``."""
    return evil(
        [
            *opened(),
            *generating(2),
            e.CheckFailed(name="x", detail="x", fix="x"),
            e.NoticePosted(text="x"),
            e.NoticePosted(text="x", level="warning"),
            *answered(3),
            e.SampleRejected(instance=1, prompt_id="p", reason="x", detail="x"),
            e.RequestFailed(instance=1, prompt_id="p", kind="transient", message="x"),
            e.PromptSetAside(prompt_id="p", reasons=("x",)),
            e.GenerationPaused(reason="x", until=2e9, kind="quota", advice="x"),
            *training(),
            e.DownloadProgressed(what="x", done=1, total=2),
            step(1),
            e.StageFailed(stage="train", message="x", hint="x", exit_code=1),
            *ended(),
        ],
        text,
    )
