from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hegelion_core.conversion.markers import BREAK, Neutraliser

TOKENS = ["<|im_end|>", "[INST]", "a-a", "<s>", "  ", "x", "word"]


@given(st.lists(st.sampled_from([*TOKENS, "</think>", "<thought>", "<", "|", "im_end", "a-", " "])).map("".join))
def test_no_marker_is_left_and_nothing_else_is_touched(text: str) -> None:
    broken = Neutraliser(TOKENS)(text)
    assert not any(marker in broken for marker in ("<|im_end|>", "[INST]", "a-a", "<s>", "</think>", "<thought>"))
    assert broken.replace(BREAK, "") == text
    assert Neutraliser(TOKENS)(broken) == broken


def test_blanks_words_and_single_characters_mark_nothing() -> None:
    assert Neutraliser(TOKENS)("x  a word") == "x  a word"


def test_chat_tokens_of_other_tokenizers_are_broken_too() -> None:
    assert "<|eot_id|>" not in Neutraliser(())("a<|eot_id|>b")
    assert "<｜User｜>" not in Neutraliser(())("a<｜User｜>b")


def test_code_is_left_alone() -> None:
    code = "xs |> List.map f <| y; if a < b || c > d: pass  # <div>"
    assert Neutraliser(())(code) == code
