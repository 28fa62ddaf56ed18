"""What a person decides on samples and on rejected answers: written down under the store's lock, and counted at once.

The decisions file is the truth. A core that runs finds them there; ``Operations.recount`` only tells it to look now.
"""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from hegelion_core.dialectic.contract import check, read_whole
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.dialectic.parsing import ParsedOutput, SampleFault, render_output
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.dialectic.sample import Sample, SampleTrace
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation.decisions import BY_HAND, Action, Decision, Text, decided, standing
from hegelion_core.generation.sample_rows import read_row
from hegelion_core.generation.store import Rejected, SampleStore
from hegelion_core.generation.verdicts import Verdict, digest
from hegelion_core.unreadable import UNREADABLE


def check_text(query: str, text: Text) -> SampleFault | None:
    """What the sample contract says of a text; a person may overrule it.

    Raises:
        UserError: the text cannot be kept in a sample at all, see ``readable``.
    """
    try:
        check(readable(text), query=query)
    except SampleFault as fault:
        return fault
    return None


def readable(text: Text) -> ParsedOutput:
    """The parts of a text as they will be read again.

    Raises:
        UserError: one is empty, or they would not be read again as they are.
    """
    wanted = (text.thesis.strip(), text.antithesis.strip(), text.synthesis.strip(), text.answer.strip())
    try:
        parsed = read_whole(text.output)
    except SampleFault as fault:
        raise UserError(fault.detail, "Each of the four parts needs a text of its own.", ExitCode.USAGE) from None
    if (parsed.thesis, parsed.antithesis, parsed.synthesis, parsed.answer) != wanted:
        raise UserError(
            "A part holds a heading, a label or a tag that would be read as the beginning of another part.",
            "Take it out, such as **THESIS**: or </thought>.",
            ExitCode.USAGE,
        )
    return parsed


def decide(store: SampleStore, line: bytes, action: Action, *, text: Text | None = None, reason: str = "") -> None:
    """Decide on a line of the sample file.

    Args:
        store: of the sample file.
        line: the line as it stands there.
        action: ``edit`` needs ``text``; ``undo`` takes the last decision on this line back.
        text: what shall stand in place of the line's four parts.
        reason: in the person's words.

    Raises:
        UserError: it cannot be done, and why.
        OSError: it could not be written; nothing was decided.
    """
    with store.locked():
        store.refresh()
        _write(store, line, action, text, reason)


def take_up(store: SampleStore, line: bytes, *, text: Text | None = None, reason: str = "") -> None:
    """Make a sample of an attempt that gave none: a line of the rejected file.

    The sample is appended to the sample file, and counts while the decision stands.

    Args:
        store: of the sample file.
        line: the line as it stands in the rejected file.
        text: the four parts, if the person wrote them; else the answer's own.
        reason: in the person's words.

    Raises:
        UserError: the answer cannot be read as four parts, or its prompt has a sample.
        OSError: it could not be written; nothing was decided.
    """
    attempt = read_attempt(line)
    name, key = prompt_id(attempt.query), digest(line).hex()
    action: Literal["accept", "edit"] = "edit" if text is not None else "accept"
    with store.locked():
        store.settle()
        row = store.decisions.row_of(key)
        places = store.find(row) if row is not None else []
        if name in store.done and not (places and _counts(store, places[0])):
            raise UserError("This prompt has a sample already.", "Reject that one first.", ExitCode.NOT_READY)
        if places:
            _write(store, store.line(places[0]), action, text, reason, attempt=key)
            return
        sample = _sample(attempt, name, text)
        row = store.add(sample, Verdict(name, by_hand=True))
        decision = Decision(
            at=time.time(), action=action, row=row.hex(), id=sample.id, prompt_id=name, attempt=key, text=text,
            reason=reason,
        )  # fmt: skip
        store.decisions.append(decision)
        store.refresh()


def take_back(store: SampleStore, line: bytes) -> None:
    """Take the last decision on an attempt back: a line of the rejected file.

    Raises:
        UserError: nothing was decided on it.
        OSError: it could not be written; nothing was decided.
    """
    with store.locked():
        store.refresh()
        row = store.decisions.row_of(digest(line).hex())
        places = store.find(row) if row is not None else []
        if not places:
            raise _nothing()
        _write(store, store.line(places[0]), "undo", None, "")


def read_attempt(line: bytes) -> Rejected:
    """The attempt on a line of the rejected file.

    Raises:
        UserError: it is none.
    """
    try:
        return msgspec.json.decode(line, type=Rejected)
    except UNREADABLE:
        raise UserError("This line is no record of an attempt.", "Choose another one.", ExitCode.USAGE) from None


def _write(
    store: SampleStore, line: bytes, action: Action, text: Text | None, reason: str, *, attempt: str = ""
) -> None:
    row = digest(line)
    history = store.decisions.history(row)
    if action == "undo" and not history:
        raise _nothing()
    if text is not None:
        readable(text)
    decision = Decision(at=time.time(), action=action, row=row.hex(), attempt=attempt, text=text, reason=reason)
    after = standing(decided(history, decision))
    sample = _as_decided(line, after.text if after else None, must=action in ("accept", "edit"))
    if sample is not None:
        decision = msgspec.structs.replace(decision, id=sample.id, prompt_id=prompt_id(sample.instruction))
    store.decisions.append(decision)
    store.refresh()


def _as_decided(line: bytes, text: Text | None, *, must: bool) -> Sample | None:
    """The sample on a line, whatever the contract says of it; ``None`` if there is none and need not be."""
    try:
        return read_row(line, by_hand=True, output=text.output if text else None)
    except SampleFault as fault:
        if must:
            raise UserError(
                f"This cannot be read as a sample. {fault.detail}", "Edit it: its four parts can be written by hand."
            ) from None
    except UNREADABLE:
        if must:
            raise UserError("This line cannot be read.", "It is no JSON object with the fields of a sample.") from None
    return None


def _sample(attempt: Rejected, name: str, text: Text | None) -> Sample:
    try:
        parsed = readable(text) if text is not None else read_whole(attempt.text)
    except SampleFault as fault:
        raise UserError(
            f"This cannot be read as a sample. {fault.detail}", "Edit it: its four parts can be written by hand."
        ) from None
    metadata: dict[str, object] = {
        "prompt_id": name,
        "teacher": attempt.teacher,
        "attempts": attempt.attempt,
        "call": attempt.call_id,
        "created": time.time(),
        BY_HAND: "accepted" if text is None else "edited",
        "rejected_for": attempt.reason,
    }
    return Sample(
        id=name,
        instruction=attempt.query,
        output=render_output(parsed),
        system=STUDENT_SYSTEM,
        hegelion_trace=SampleTrace(
            query=attempt.query,
            mode="single",
            thesis=parsed.thesis,
            antithesis=parsed.antithesis,
            synthesis=parsed.synthesis,
            contradictions=parsed.contradictions,
            research_proposals=parsed.research_proposals,
            metadata=metadata,
        ),
    )


def _counts(store: SampleStore, index: int) -> bool:
    return store.state(index) in ("accepted by hand", "edited")


def _nothing() -> UserError:
    return UserError("Nothing was decided on this one.", "There is nothing to take back.", ExitCode.NOT_READY)
