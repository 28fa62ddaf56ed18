"""Texts that imitate calls to tools, and texts about them."""

from __future__ import annotations

import pytest

from hegelion_core.dialectic.tool_calls import imitates_call

TOPIC = "How should a parser read the tool calls of an LLM?"


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "Bash", "arguments": {"command": "ls"}}\n</tool_call>',
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0",
        "Let me look.\nfunctions.Bash:0 {}",
        '<function_calls>\n<invoke name="search">',
        "<function=search>{}</function>",
        "<｜tool▁calls▁begin｜>function",
        '[TOOL_CALLS][{"name": "search"}]',
        "Action: search\nAction Input: cars",
        "```tool_code\nprint(search())\n```",
        '{"name": "Bash", "arguments": {"command": "ls"}}',
        '```json\n{"name": "Bash", "arguments": {"command": "ls"}}\n```',
        '[{"type": "function", "function": {"name": "x", "arguments": "{}"}}]',
        '{"tool_calls": [{"id": "1"}]}',
    ],
)
def test_calls(text: str) -> None:
    assert imitates_call(text, "Should cities ban cars?")


@pytest.mark.parametrize(
    "text",
    [
        "A promise is a tool, and tools serve ends.",
        "Call the function <b>later</b>.",
        '{"decision": "keep", "months": 6}',
        "Its functions. Bash is one.",
        "if a < b and tool_calls > 3: pass",
    ],
)
def test_plain_texts(text: str) -> None:
    assert not imitates_call(text, "Should cities ban cars?")


@pytest.mark.parametrize(
    "text",
    [
        "Qwen wraps a call in `<tool_call>` and `</tool_call>`, Kimi names it `functions.Bash:0`.",
        "Qwen wraps a call in <tool_call> tags.",
        'Like this:\n\n```json\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n```',
        '{"name": "get_weather", "arguments": {"city": "Oslo"}}',
        "In a fence:\n```\n<tool_call>{}</tool_call>\n```\nand no more.",
    ],
)
def test_a_text_about_tools_may_show_them(text: str) -> None:
    assert not imitates_call(text, TOPIC)


def test_even_there_a_call_is_a_call() -> None:
    assert imitates_call('<tool_call>\n{"name": "Bash", "arguments": {}}\n</tool_call>', TOPIC)
    assert imitates_call("Let me look.\nfunctions.Bash:0 {}", TOPIC)
