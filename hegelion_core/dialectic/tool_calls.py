"""Whether a text imitates a call to a tool, in the forms in which models write such calls as text."""

from __future__ import annotations

import re

from hegelion_core.dialectic.code_spans import blocks, may_hold_fences, without_code

_MARK = re.compile(
    r"<\|?/?(?:tool_calls?|function_calls?|tool_use|toolcall)(?:\s[^<>\n]{0,80})?\|?>"  # Hermes, Qwen, Claude
    r"|<\|/?tool_calls?_"  # Kimi
    r"|<｜tool"  # DeepSeek
    r"|<(?:invoke|function)[ =][\"\w]|<function=\w"  # Claude, Llama
    r"|\[TOOL_CALLS\]|\[/?TOOL_REQUEST\]"  # Mistral
    r"|^[ \t]*+functions\.\w+:\d+"  # Kimi
    r"|^Action: ?[\w .-]{1,40}\nAction Input:",  # ReAct
    re.IGNORECASE | re.MULTILINE,
)
_CALLED = re.compile(r"\A\s*+(?:\w[^<\n]{0,60}\n)?\s*+(?:<|functions\.|\[TOOL|Action:)", re.IGNORECASE)
_JSON_CALL = re.compile(
    r"[\[{\s]*+\"(?:name|tool|tool_name|function|action|type|id|tool_calls)\"\s*+:\s*+(?:\"[\w.:/-]{1,80}\"|[\[{])"
)
_JSON_ARGUMENTS = re.compile(
    r"\"(?:arguments|parameters|input|args|action_input|tool_input|tool_calls)\"\s*+:\s*+[\"\[{]"
)
_TOPIC = re.compile(
    r"\b(?:tools?|functions?|json|apis?|agents?|llms?|mcp|schema|parsers?|code|python|program\w*|script|xml|html)\b"
    r"|工具|函数|函數|関数|代码|代碼|コード|программ|функци|함수|코드",
    re.IGNORECASE,
)
_CALL_FENCES = ("tool_code", "tool_call", "tool_calls", "tool_use", "function_call")


def imitates_call(text: str, query: str = "") -> bool:
    """Whether ``text`` calls a tool, or only makes as if.

    What stands in code is a mention. Where ``query`` is about such things, only what begins with a call is one.
    """
    if "{" in text and _is_json_call(text):
        return _TOPIC.search(query) is None
    if may_hold_fences(text) and any(info.startswith(_CALL_FENCES) for _, _, info in blocks(text)):
        return _TOPIC.search(query) is None
    if not _may_hold_marks(text):
        return False
    prose = without_code(text)
    if _MARK.search(prose) is None:
        return False
    return _TOPIC.search(query) is None or _CALLED.match(prose) is not None


def _may_hold_marks(text: str) -> bool:
    """A quick look."""
    return "<" in text or "functions." in text or ("[" in text and "TOOL_" in text) or "Action Input" in text


def _is_json_call(text: str) -> bool:
    """Whether a text is nothing but a JSON object that names a tool and its arguments, fenced or not."""
    bare = text.strip()
    if bare.startswith("```"):
        bare = bare.strip("`").removeprefix("json").strip()
    if not bare.startswith(("{", "[")) or not bare.endswith(("}", "]")):
        return False
    return _JSON_CALL.match(bare) is not None and _JSON_ARGUMENTS.search(bare) is not None
