from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from hegelion_tui.logs import window as module
from hegelion_tui.logs.volume import Volume
from hegelion_tui.logs.window import Window
from tests.unit.tui.logs.small_blocks import blocks_of

STEPS = st.lists(st.sampled_from(["above", "below", "write", "narrow", "wide", "end"]), max_size=30)


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), STEPS, st.integers(0, 40))
def test_it_is_a_part_without_gaps_bounded_and_what_is_looked_at_does_not_move(
    lengths: list[int], steps: list[str], first: int
) -> None:
    """Whatever is read, dropped and wrapped anew, in whichever order, with new lines coming meanwhile."""
    with (
        tempfile.TemporaryDirectory() as folder,
        blocks_of(64),
        mock.patch.object(module, "MAX_LINES", 12),
        mock.patch.object(module, "MAX_CHARACTERS", 300),
    ):
        path = Path(folder) / "log"
        texts = [f"{number}{'x' * length}" for number, length in enumerate(lengths)]
        path.write_text("".join(f"{text}\n" for text in texts))
        volume = Volume([path])
        volume.look()
        begin = sum(len(text) + 1 for text in texts[: first % len(texts)])
        window = Window((begin,), width=10)
        window.append(volume.after((begin,), 4))
        for number, step in enumerate(steps):
            looked_at = window.rows[len(window.rows) // 2] if window.rows else None
            row = len(window.rows) // 2
            match step:
                case "above":
                    row += window.prepend(volume.before(window.top, 4))
                    window.trim_bottom(row + 2)
                case "below":
                    window.append(volume.after(window.bottom, 4))
                    row -= window.trim_top(row - 2)
                case "write":
                    texts.append(f"new {number}")
                    with path.open("a") as file:
                        file.write(f"new {number}\n")
                    volume.look()
                case "narrow" | "wide":
                    window.rewrap(5 if step == "narrow" else 0)
                    looked_at = None
                case "end":
                    window.reset(volume.whole_end())
                    window.prepend(volume.before(volume.whole_end(), 4))
                    looked_at = None
            if looked_at is not None:
                assert window.rows[row] == looked_at
            shown = [entry.line.plain for entry in window.entries]
            assert shown == path.read_text()[window.top[0] : window.bottom[0]].splitlines()
            assert "".join(row.entry.line.plain[row.start : row.end] for row in window.rows) == "".join(shown)
            assert len(shown) <= 12 + 8
            for entry in window.entries:
                at = window.row_of(0, entry.offset)
                assert at is not None
                assert (window.rows[at].entry, window.rows[at].start) == (entry, 0)
