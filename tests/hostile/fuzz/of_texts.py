"""Targets whose input is text: answers, sample rows, what teachers print and stream, and what a terminal is shown."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from itertools import pairwise

import msgspec
from rich.cells import cell_len, split_graphemes
from rich.segment import Segment
from textual.color import Color

from hegelion_core.commands.text import printable, printable_json
from hegelion_core.conversion.markers import Neutraliser
from hegelion_core.dialectic import judge, prompts, reading, steps, turns
from hegelion_core.dialectic.contract import Accepted, make_sample, read_accepted, read_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import SampleFault, clean, parse_output, render_output
from hegelion_core.dialectic.sample import Sample
from hegelion_core.generation.decisions import read_undecided
from hegelion_core.generation.store import verdict_of
from hegelion_core.redaction import MARK, Redactor
from hegelion_core.report.markup import escape
from hegelion_core.teachers import faults, kimi_output, openai_stream, retry_after
from hegelion_core.teachers.teacher import Answer, TeacherFault
from hegelion_core.unreadable import UNREADABLE
from hegelion_tui.disarming import Disarming
from hegelion_tui.logs.text import disarm, part, wrap
from tests.hostile.fuzz.target import SPLIT, Target, holds_controls, parts, steers, text_of
from tests.hostile.texts import HTML, LINES, MARKUP, SHELL, STEERING, TURNS
from tests.unit.generation.test_store import OUTPUT, sample

QUESTION = "Should cities ban cars?"
SECRET = "sw0rdfish-4711-quux"
_REPLIES = (
    "THESIS: It is so, since all that was measured says so, and nobody has found a case against it.",
    "SYNTHESIS: Both hold.\nRESEARCH_PROPOSAL: Look.\nTESTABLE_PREDICTION: It is seen.\nANSWER: Mostly, yes.",
    "SCORE: 7/10\nCRITIQUE_VALIDITY: true\nREASONING: It holds.\nSTRENGTHS: clear\nIMPROVEMENTS: shorter",
    '```json\n{"score": 7.5, "critique_validity": "yes", "reasoning": ["a", "b"]}\n```',
)


def answer(data: bytes) -> None:
    """An answer to a question, whatever it looks like: refused by name, or a sample that can be read again."""
    asked, said = (text_of(part) for part in parts(data, 2))
    query = clean(asked) if clean(asked).strip() else QUESTION
    reading.parts_so_far(said)
    turns.clean(said)
    assert prompts.delimiter(said) not in said
    bare = steps.bare(said)
    for read in (steps.read_thesis, steps.read_critique, steps.read_synthesis):
        with contextlib.suppress(SampleFault):
            read(said)
    with contextlib.suppress(SampleFault):
        assert 0 <= judge.read_judgement(bare).score <= judge.MAX_SCORE
    with contextlib.suppress(SampleFault):
        _check_canonical(render_output(parse_output(said)))
    try:
        made = make_sample(query, Answer(text=said), prompt_id=prompt_id(query), system="", metadata={})
    except SampleFault as refused:
        _check_fault_named(refused)
    else:
        _check_sample(made)


def _check_fault_named(fault: SampleFault) -> None:
    assert fault.reason
    assert not holds_controls(fault.detail)


def row(data: bytes) -> None:
    """A line of a sample file, ours or another program's."""
    try:
        found, by_hand = read_undecided(data)
    except (*UNREADABLE, SampleFault):
        return
    verdict = verdict_of(data, found, by_hand)
    line = msgspec.json.encode(found)
    again, by_hand_again = read_undecided(line)
    assert again == found
    assert by_hand_again == by_hand
    assert verdict_of(line, again, by_hand).canonical
    if verdict.canonical and (known := read_accepted(data)) is not None:
        assert known == Accepted(found.id, found.instruction, found.system, found.output)
    assert not holds_controls(found.instruction + found.output)


def _check_sample(made: Sample) -> None:
    line = msgspec.json.encode(made)
    assert read_sample(line) == made
    assert read_accepted(line) == Accepted(made.id, made.instruction, made.system, made.output)
    _check_canonical(made.output)


def _check_canonical(output: str) -> None:
    parsed = parse_output(output)
    assert render_output(parsed) == output
    assert not holds_controls(output)
    assert not any(map(holds_controls, (*parsed.contradictions, *parsed.research_proposals)))


def kimi(data: bytes) -> None:
    """What a Kimi printed."""
    said = text_of(data)
    lines = kimi_output.read_lines(said)
    kimi_output.uses_tool(lines)
    assert isinstance(kimi_output.answer_text(lines), str)
    assert kimi_output.session(lines) is None or any(line.kind == "end" for line in lines)
    for line in lines:
        if line.kind == "retry":
            _check_fault(faults.classify_retry(line.text, line.status, line.delay))
    for dialect in ("kimi-code", "kimi-legacy"):
        _check_fault(faults.classify(dialect, 1, said, said))


def _check_fault(fault: TeacherFault) -> None:
    for words in (fault.message, fault.hint):
        assert len(words) < 1000, words
        assert "\n" not in words
        assert not holds_controls(words)
    assert fault.retry_after is None or 0 <= fault.retry_after <= retry_after.MAX_WAIT


def stream(data: bytes) -> None:
    """What an endpoint sent: its headers, and events in pieces of any size."""
    headers, body = parts(data, 2) if SPLIT in data else (b"", data)
    _read_headers(text_of(headers))
    with contextlib.suppress(TeacherFault):
        for whole in (False, True):
            found = _events(body, len(body) + 1, whole=whole)
            assert _events(body, 1 + zlib.crc32(body) % 97, whole=whole) == found
            line = openai_stream.read_events(found)
            written = openai_stream.encode(line)
            assert written.count(b"\n") == 1
            reply = openai_stream.read_reply(written)
            assert reply is not None
            _read_reply(reply)
    if (kept := openai_stream.read_reply(body)) is not None:
        _read_reply(kept)


def _read_reply(reply: openai_stream.Reply) -> None:
    if (fault := reply.fault()) is not None:
        assert fault.message
    if reply.whole:
        msgspec.json.encode(reply.answer())


def _events(body: bytes, size: int, *, whole: bool) -> list[bytes]:
    events = openai_stream.Events(whole=whole)
    found = [data for at in range(0, len(body), size) for data in events.feed(body[at : at + size])]
    return [*found, *events.finish()]


def _read_headers(text: str) -> None:
    now = 1.7e9
    said: Mapping[str, str] = dict(line.partition(":")[::2] for line in text.lower().split("\n"))
    waits = (retry_after.retry_after(said, now), retry_after.limit_reset(said, now), retry_after.named_wait(text))
    assert all(wait is None or 0 <= wait <= retry_after.MAX_WAIT for wait in waits), waits
    advice = faults.Advice("Log in.", "Check the model.", "Check the address.")
    _check_fault(faults.classify_http(faults.HttpError(429, text, said, now), "the endpoint", advice))


def terminal(data: bytes) -> None:
    """Text on its way to a terminal, to a log view, into a page and into a training row."""
    said = text_of(data)
    shown = printable(said)
    assert not steers(shown)
    assert len(shown) == len(said)
    written = msgspec.json.encode(said.encode("utf-8", "replace").decode())
    assert not steers(printable_json(written))
    assert msgspec.json.decode(printable_json(written)) == msgspec.json.decode(written)
    for raw in (said, *said.split("\n")[:20]):
        _check_log_line(raw)
    armed = Disarming().apply([Segment(said)], Color(0, 0, 0))
    assert not steers("".join(segment.text for segment in armed).replace("\n", ""))
    assert not {"<", '"', "'"} & set(escape(said))
    neutral = Neutraliser(("<|im_end|>", "[INST]"))
    broken = neutral(said)
    assert neutral(broken) == broken
    assert "<|im_end|>" not in broken
    assert broken.replace("\u2060", "") == said.replace("\u2060", "")
    _check_redacted(said)


def _check_log_line(raw: str) -> None:
    line = disarm(raw)
    assert not steers(line.plain)
    assert "\t" not in line.plain
    if (coloured := line.coloured()) is not None:
        assert not steers(coloured.plain)
        assert coloured.plain == line.plain
    width = 1 + len(raw) % 90
    rows = wrap(line.plain, width)
    assert rows[0][0] == 0
    assert rows[-1][1] == len(line.plain)
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    # A space may hang over, and so may a single character that is wider than the row.
    shown = [line.plain[a:b].rstrip(" ") for a, b in rows]
    assert all(cell_len(text) <= width or _is_one(text) for text in shown)
    pad, begin, end = part(line.plain, width // 3, width)
    assert 0 <= begin <= end <= len(line.plain)
    assert pad >= 0


def _is_one(text: str) -> bool:
    return len(split_graphemes(text)[0]) == 1


def _check_redacted(said: str) -> None:
    redact = Redactor({"A_TOKEN": SECRET})
    clear = redact(f"{said} {SECRET} {said}")
    assert SECRET not in clear
    assert redact(clear) == clear
    assert MARK in redact.known(said + SECRET)
    assert SECRET not in redact.growing(said)


def text_targets() -> dict[str, Target]:
    """By name."""
    kept = msgspec.json.encode(sample(QUESTION))
    answers = (OUTPUT, OUTPUT.replace("**", "### "), *_REPLIES, OUTPUT.replace("thought>", "think>"), TURNS)
    foreign = msgspec.json.encode({"instruction": QUESTION, "input": "Say why.", "output": OUTPUT, "id": "x"})
    by_hand = kept.replace(b'"prompt_id"', b'"by_hand":"accepted","prompt_id"')
    chunk = (
        b'data: {"choices":[{"delta":{"content":"Is it? ","reasoning":"Hm"},"finish_reason":null}],"model":"m"}\n\n'
        b': ping\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
        b'data: {"error":{"code":429,"message":"slow down"}}\n\ndata: [DONE]\n\n'
    )
    whole = (
        b'{"choices":[{"message":{"content":[{"type":"text","text":"a"}],"tool_calls":[{}]},"finish_reason":"length"}]}'
    )
    headers = (
        b"retry-after: 7m12s\ndate: Wed, 21 Oct 2026 07:28:00 GMT\nx-ratelimit-reset-requests: 1s\n"
        b"x-ratelimit-remaining-requests: 0\nretry-after-ms: 1500\nPlease try again in 2 hours and 5 minutes"
    )
    printed = (
        b'{"role":"meta","type":"system.version","version":"1.0"}\n'
        b'{"role":"meta","type":"turn.step.retrying","delay_ms":100,"error_message":"429: slow","status_code":429}\n'
        b'{"role":"assistant","content":[{"type":"text","text":"THESIS: a"}],"tool_calls":null}\n'
        b'{"role":"tool","content":"x"}\n{"role":"meta","type":"session.resume_hint","session_id":"abc"}\n'
    )
    rubbish = tuple(LINES.values())
    shown = [text.encode() for text in (STEERING, MARKUP, HTML, SHELL, TURNS)]
    coloured = "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\t宽\u0301 👩\u200d👧 50%\r100%".encode()
    keys = (
        f"Authorization: Bearer {SECRET} sk-abcdefgh12345678 https://u:p@h/?token=abc eyJhbGciOi.eyJzdWIiOi.x".encode()
    )
    return {
        "answer": Target(answer, tuple(QUESTION.encode() + SPLIT + text.encode() for text in answers)),
        "row": Target(row, (kept, foreign, by_hand, kept.replace(b'"hegelion_trace"', b'"x"'), *rubbish)),
        "kimi": Target(kimi, (printed, b"Error code: 429 - {'error': {'message': 'quota'}}\n", *rubbish)),
        "stream": Target(stream, (chunk, headers + SPLIT + chunk, whole, b'{"text":"a","finish":"stop"}\n', *rubbish)),
        "terminal": Target(terminal, (*shown, coloured, keys, " \u00e9\u4e2d\ufe0f \u2028".encode())),
    }
