"""The judge: what it is asked, and its reply read in every form in which models write it. Pure.

A reply that cannot be read is no score: it is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from hegelion_core.dialectic.agent_log import Judgement
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.unreadable import UNREADABLE

MAX_SCORE = 10.0

TASK = """\
You are the judge. Score the whole inquiry from 0 to 10:
thesis 0 to 2 (a clear position with reasons), antithesis 0 to 3 (it hits the thesis, with grounds), synthesis 0 to 3 \
(it resolves what conflicts, more than a compromise), validity of the critiques 0 to 2 (they hold, and the synthesis \
answers each). Add the four up. Be strict: 5 is ordinary, 9 is rare.
Reply in exactly this form, each label on a line of its own:
SCORE: the sum, one number
CRITIQUE_VALIDITY: true or false
REASONING: why, in two to four sentences
STRENGTHS: what is good
IMPROVEMENTS: what would make it better"""

NO_SCORE = "no_score"
"""Reason of a reply that holds none."""

_MARKS = r"[ \t*_#>`\"'\[({-]{0,12}"  # bounded, as everything repeated here: the time stays linear
_NAMES: Mapping[str, str] = {
    "final": r"(?:final|overall|total|gesamt|总)[ _-]?(?:score|rating|sum|punktzahl|分)?|total",
    "score": r"score|rating|punktzahl|bewertung|note|puntuaci[óo]n|评分|評分|分数|得分|点数|점수|оценка",
    "validity": r"critiques?[ _-]?(?:validity|valid)|validity(?: of (?:the )?critiques?)?|are the critiques valid\??",
    "reasons": r"reason(?:ing|s)?|rationale|explanation|justification|begründung|理由",
    "strengths": r"strengths?|stärken|优点|長所",
    "improvements": r"improvements?|suggestions?|weaknesses|verbesserungen|改进|改善",
}
_LABEL = re.compile(
    rf"^{_MARKS}(?:\d{{1,2}}[.)][ \t]?)?{_MARKS}(?:the )?(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in _NAMES.items())
    + r")(?:[ \t]?\([^()\n]{1,40}\))?[ \t*_`\"'\])}]{0,8}"
    r"(?:[:：=]|(?<=[ \t])(?:[–—-](?=\s)|is\b(?=[ \t*_]{1,4}\d)|(?=\d))|(?=\n|\Z)|(?<=\*\*)(?=\d))",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<number>\d{1,3}(?:[.,]\d{1,2})?)(?!\d)(?:\s*(?:/|out of|of|von|sur|de)\s*(?P<out_of>\d{1,3})\b)?"
)
_RANGE = re.compile(r"\d\s*(?:-|–|—|to|bis|…|\.\.+)\s*\d", re.IGNORECASE)
_ALONE = re.compile(rf"{_MARKS}(?P<number>\d{{1,2}}(?:[.,]\d{{1,2}})?)(?:\s*(?:/|out of)\s*10)?[\s*_`.\])}}]*")
_TRUE = re.compile(r"\W*(?:true|yes|valid|ja|oui|sí|是|はい)\b|\W*(?:是|有效)", re.IGNORECASE)
_FALSE = re.compile(r"\W*(?:false|no|not|invalid|nein|non)\b|\W*(?:否|无效)", re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?[^\S\n]*+\n", re.IGNORECASE)
_FENCE_END = re.compile(r"\n[^\S\n]*+```")
_LONGEST = 60
"""Characters behind the label in which the number stands."""


def read_judgement(text: str) -> Judgement:
    """What a judge's reply says.

    Args:
        text: the reply, without thinking (``steps.bare``).

    Raises:
        SampleFault: ``no_score``, no number from 0 to 10 stands where the score belongs.
    """
    if (found := _from_json(text)) is not None:
        return found
    parts = _parts(text)
    score = _score(parts.get("final", "")) if "final" in parts else None
    if score is None:
        score = _score(parts["score"]) if "score" in parts else _bare_score(text)
    if score is None:
        raise SampleFault(NO_SCORE, "The first line must be SCORE: and one number from 0 to 10.")
    return Judgement(
        score=score,
        reasons=parts.get("reasons", "") or _prose(parts.get("score", text), parts),
        critique_validity=_truth(parts.get("validity", "")),
        strengths=parts.get("strengths", ""),
        improvements=parts.get("improvements", ""),
    )


def _parts(text: str) -> dict[str, str]:
    """The text behind each label, up to the next one; of several of a kind the first that holds something."""
    found = list(_LABEL.finditer(text))
    parts: dict[str, str] = {}
    ends = [label.start() for label in found[1:]] + [len(text)]
    for label, end in zip(found, ends if found else [], strict=True):
        name = label.lastgroup or ""
        part = text[label.end() : end]
        part = part.strip().strip("*_`").strip().removesuffix("}").strip()
        if part and not parts.get(name):
            parts[name] = part
    return parts


def _score(part: str) -> float | None:
    first = part[:_LONGEST].split("\n")[0]
    if _RANGE.search(first):  # the form itself, or a judge that does not decide
        return None
    found = _NUMBER.search(first)
    if found is None or "-" in first[max(0, found.start() - 1) : found.start()]:
        return None
    return _scaled(found["number"], found["out_of"])


def _scaled(number: str, out_of: str | None) -> float | None:
    value = float(number.replace(",", "."))
    if out_of == "100":
        value /= 10
    elif out_of not in (None, "10"):
        return None
    return value if 0 <= value <= MAX_SCORE else None


def _bare_score(text: str) -> float | None:
    """A reply that is nothing but a number, or begins with a line that is."""
    found = _ALONE.fullmatch(text.strip().split("\n")[0])
    return _scaled(found["number"], None) if found else None


def _prose(text: str, parts: Mapping[str, str]) -> str:
    """What follows the score, where no label says that it is the reasoning."""
    found = _NUMBER.search(text)
    if len(parts) > 1 or found is None:
        return ""
    return text[found.end() :].lstrip(" .,;:*_)]-\n").strip()


def _truth(part: str) -> bool | None:
    if _FALSE.match(part):
        return False
    return True if _TRUE.match(part) else None


def _from_json(text: str) -> Judgement | None:
    """A reply that is a JSON object, in a fence or bare."""
    fenced = _inside_fence(text)
    inside = text[text.find("{") : text.rfind("}") + 1] if fenced is None else fenced
    try:
        row = msgspec.json.decode(inside, type=dict[str, object])
    except (*UNREADABLE, UnicodeEncodeError):
        return None
    named = {key.strip().lower().replace(" ", "_").replace("-", "_"): value for key, value in row.items()}
    score = _json_score(named)
    if score is None:
        return None
    validity = named.get("critique_validity")
    return Judgement(
        score=score,
        reasons=_json_text(named, "reasoning", "reasons", "rationale"),
        critique_validity=validity if isinstance(validity, bool) else _truth(str(validity or "")),
        strengths=_json_text(named, "strengths"),
        improvements=_json_text(named, "improvements"),
    )


def _inside_fence(text: str) -> str | None:
    """What stands in the first fence, if it is closed."""
    if (begin := _FENCE.search(text)) is None or (end := _FENCE_END.search(text, begin.end())) is None:
        return None
    return text[begin.end() : end.start()].strip()


def _json_score(row: Mapping[str, object]) -> float | None:
    value = next(
        (row[name] for name in ("score", "overall_score", "total_score", "total", "rating") if name in row), None
    )
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value <= MAX_SCORE else None
    return _score(value) if isinstance(value, str) else None


def _json_text(row: Mapping[str, object], *names: str) -> str:
    value = next((row[name] for name in names if name in row), "")
    if isinstance(value, list):
        return "\n".join(f"- {item}" for item in value if isinstance(item, str))
    return value.strip() if isinstance(value, str) else ""
