from __future__ import annotations

import pytest

from hegelion_tui.logs.marks import Kind, marks


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("19:50:28 [5e35] accepted: 12 of 40", [("19:50:28", "time"), (" [5e35]", "call"), ("accepted", "good")]),
        (
            "19:50:26 [3760] rejected (cut_off): The reply stops.",
            [("19:50:26", "time"), (" [3760]", "call"), ("rejected (cut_off)", "bad")],
        ),
        ("19:50:26 [6da1] antithesis: But", [("19:50:26", "time"), (" [6da1]", "call"), ("antithesis", "part")]),
        ("19:50:26 [6da1] * In the first", [("19:50:26", "time"), (" [6da1]", "call")]),
        ("Step 110: Loss=1.440", [("Step 110", "part")]),
        ("Validation at step 6: Loss=1.658", [("Validation at step 6", "part")]),
        ("accepted by many: no verdict", []),
        ("the answer: a model's own words", []),
        ("25:61:00 is no time", []),
        ("", []),
    ],
)
def test_only_the_begin_of_a_line_of_ours_is_marked(line: str, found: list[tuple[str, Kind]]) -> None:
    assert [(line[left:right], kind) for left, right, kind in marks(line)] == found
