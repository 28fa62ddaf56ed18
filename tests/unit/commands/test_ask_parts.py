"""Parts that grow on a terminal: in the end the same stands there as if each had come whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.commands.ask_parts import Parts
from hegelion_core.dialectic.steps import Step

THESIS = Step(role="thesis")
LOGICIAN, EMPIRICIST = (Step(role="critic", critic=name) for name in ("Logician", "Empiricist"))
SYNTHESIS = Step(role="synthesis")
WORDS = "Build it behind a flag, and measure who uses it before more is promised to anyone."


class Terminal:
    """What is shown."""

    def __init__(self) -> None:
        self.text = ""
        self.parts = Parts(self._show, 40)

    def _show(self, text: str) -> None:
        assert text.endswith("\n")  # only whole lines: what goes on may be painted below
        self.text += text


@given(cuts=st.lists(st.integers(0, 400)), step=st.sampled_from([THESIS, LOGICIAN]), label=st.booleans())
def test_however_it_grows_it_ends_as_the_whole(cuts: list[int], step: Step, label: bool) -> None:
    text = f"{WORDS}\n\n- one\n- two\n\n{WORDS} {WORDS}"
    reply = f"{'**THESIS**: ' if step is THESIS else 'CRITIQUE: '}{text}" if label else text
    growing, whole = Terminal(), Terminal()
    whole.parts.whole(step, text)
    for cut in sorted(cuts):
        growing.parts.grow(step, reply[:cut])
        assert whole.text.startswith(growing.text)
    growing.parts.whole(step, text)
    assert growing.text == whole.text


def test_a_line_is_shown_as_soon_as_the_next_one_has_begun() -> None:
    terminal = Terminal()
    terminal.parts.grow(THESIS, "THESIS: Build it behind a flag")
    assert terminal.text == "THESIS\n"
    terminal.parts.grow(THESIS, f"THESIS: {WORDS}")
    assert terminal.text == "THESIS\nBuild it behind a flag, and measure who\nuses it before more is promised to\n"


def test_a_synthesis_and_its_answer_have_a_heading_each() -> None:
    terminal = Terminal()
    terminal.parts.grow(SYNTHESIS, "SYNTHESIS: Both are right.\nANSWER: Build it.\nThen measure")
    assert terminal.text == "SYNTHESIS\nBoth are right.\n\nANSWER\nBuild it.\n"
    terminal.parts.whole(SYNTHESIS, "Both are right.\n\nANSWER: Build it.\nThen measure.")
    assert terminal.text == "SYNTHESIS\nBoth are right.\n\nANSWER\nBuild it.\nThen measure.\n\n"


def test_one_part_grows_and_what_is_whole_before_it_waits() -> None:
    terminal = Terminal()
    terminal.parts.grow(LOGICIAN, "One\ntwo\nthree")
    terminal.parts.grow(EMPIRICIST, "Not yet\nto be seen")
    terminal.parts.whole(EMPIRICIST, "Facts.")
    assert terminal.text == "ANTITHESIS: Logician\nOne\ntwo\n"
    terminal.parts.whole(LOGICIAN, "One\ntwo\nthree")
    assert terminal.text == "ANTITHESIS: Logician\nOne\ntwo\nthree\n\nANTITHESIS: Empiricist\nFacts.\n\n"


def test_a_reply_that_is_dropped_is_said_to_go_no_further() -> None:
    terminal = Terminal()
    terminal.parts.grow(THESIS, "One\ntwo")
    terminal.parts.drop(LOGICIAN)
    terminal.parts.drop(THESIS)
    terminal.parts.grow(THESIS, "Again\nand again")
    terminal.parts.whole(LOGICIAN, "No.")
    terminal.parts.end()
    assert terminal.text == ("THESIS\nOne\n[...]\n\nTHESIS\nAgain\n[...]\n\nANTITHESIS: Logician\nNo.\n\n")


def test_what_is_read_otherwise_in_the_end_is_shown_whole() -> None:
    terminal = Terminal()
    terminal.parts.grow(THESIS, "First a thought\nof another kind\nand then")
    terminal.parts.whole(THESIS, "The thesis itself.")
    assert terminal.text == "THESIS\nFirst a thought\nof another kind\n[...]\n\nTHESIS\nThe thesis itself.\n\n"


@pytest.mark.parametrize("reply", ["<think>Let me see\nwhat to say\nto this", "", "THESIS:", "***"])
def test_thinking_aloud_and_labels_alone_are_not_shown(reply: str) -> None:
    terminal = Terminal()
    terminal.parts.grow(THESIS, reply)
    assert terminal.text in ("", "THESIS\n")
