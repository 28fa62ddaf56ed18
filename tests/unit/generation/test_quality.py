"""The quality report: what is in the file is counted, whatever else stands in it and in whatever order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hegelion_core.errors import ExitCode, UserError
from hegelion_core.generation import quality, sample_rows
from hegelion_core.generation.quality import assess
from hegelion_core.generation.quality_report import QualityReport, Spread
from hegelion_core.generation.sample_figures import FLAGGED, OTHERS, SampleFigures, count, script, spread
from tests.fakes.sample_files import Row, output, row, text, write

CARS = "Should cities ban private cars from their centres during the day, at night, or never at all?"


def report(
    tmp_path: Path, rows: Sequence[Row | bytes], held_out: Sequence[str] = (), near_threshold: float = 0.8
) -> QualityReport:
    return assess(write(tmp_path / "s.jsonl", rows), tmp_path / "s.rejected.jsonl", held_out, near_threshold)


def prompts(count: int) -> list[str]:
    return [f"Why {text(number, 8)[:-1]}?" for number in range(count)]


def test_a_clean_file_has_no_faults(tmp_path: Path) -> None:
    found = report(tmp_path, [row(prompt) for prompt in prompts(12)], ["What is justice?"])
    assert (found.rows, found.accepted, found.foreign, found.distinct_prompts) == (12, 12, 0, 12)
    assert found.faults == ()
    assert found.warnings == {}
    assert found.teachers == {"kimi-code 2.1.0": 12}
    assert found.sources == {"prompts.txt": 12}
    assert found.lengths["thesis"].words == Spread(min=12, p5=12, median=12, p95=12, max=12)
    assert found.contradictions == Spread(min=1, p5=1, median=1, p95=1, max=1)
    assert found.scripts == {"latin": 12}
    assert found.not_accepted.share_accepted is None
    assert msgspec.json.decode(msgspec.json.encode(found), type=QualityReport) == found


def test_lines_that_are_no_samples_are_counted_by_reason(tmp_path: Path) -> None:
    short = row("Why now?", output("x").replace("</thought>", ""))
    rows: list[Row | bytes] = [
        row(CARS),
        b"",
        b'{"torn',
        b'{"a": 1}',
        short,
        b"\xff\xfe",
        msgspec.json.encode(row(prompts(1)[0]))[:-9],
    ]
    path = write(tmp_path / "s.jsonl", rows)
    path.write_bytes(path.read_bytes()[:-1])
    found = assess(path, tmp_path / "none", [])
    assert (found.rows, found.accepted) == (6, 1)
    assert found.unusable == {"broken_line": 2, "not_a_sample": 1, "torn_last_line": 1, "unclosed_thought": 1}
    assert [(line.line, line.reason) for line in found.unusable_lines] == [
        (3, "broken_line"),
        (4, "not_a_sample"),
        (5, "unclosed_thought"),
        (6, "broken_line"),
        (7, "torn_last_line"),
    ]
    assert found.faults == ("5 unusable lines",)


def test_rows_of_other_programs_are_read_and_counted(tmp_path: Path) -> None:
    foreign: Row = {"instruction": CARS, "output": output("f").replace("thought>", "think>"), "hegelion_trace": "none"}
    found = report(tmp_path, [b"\xef\xbb\xbf" + msgspec.json.encode(foreign), row(prompts(1)[0])])
    assert (found.accepted, found.foreign) == (2, 1)
    assert found.teachers == {"kimi-code 2.1.0": 1, "unknown": 1}


def test_exact_duplicates_are_named_with_the_line_that_has_them_first(tmp_path: Path) -> None:
    first, second, third = prompts(3)
    rows = [row(first), row(second), row(f"  {first.upper()} ", output("other")), row(third, output(second))]
    found = report(tmp_path, rows)
    assert (found.distinct_prompts, found.duplicate_prompts.surplus, found.duplicate_outputs.surplus) == (3, 1, 1)
    prompt, out = found.duplicate_prompts.examples[0], found.duplicate_outputs.examples[0]
    assert (prompt.one.line, prompt.other.line) == (1, 3)
    assert (out.one.line, out.other.line) == (2, 4)
    assert found.warnings == {"duplicate_output": 1, "duplicate_prompt": 1}
    assert {flagged.sample.line for flagged in found.flagged} == {3, 4}


def test_near_duplicates_of_prompts_and_outputs_are_named(tmp_path: Path) -> None:
    one, other = prompts(2)
    long = f"{CARS} {text('long', 30)}"
    rows = [row(one), row(long), row(f"{long[:-1]} indeed."), row(other, output(one)[:-1] + " indeed.")]
    found = report(tmp_path, rows)
    assert (found.near_prompts.clusters, found.near_prompts.texts, found.near_prompts.largest) == (1, 2, 2)
    assert [(pair.one.line, pair.other.line) for pair in found.near_prompts.examples] == [(2, 3)]
    assert [(pair.one.line, pair.other.line) for pair in found.near_outputs.examples] == [(1, 4)]
    assert 0.8 <= found.near_outputs.examples[0].jaccard < 1
    assert found.duplicate_outputs.surplus == 0
    assert report(tmp_path, rows, near_threshold=1.0).near_outputs.texts == 0


def test_held_out_prompts_are_found_exactly_and_nearly(tmp_path: Path) -> None:
    long = f"{CARS} {text('long', 30)}"
    rows = [row(prompts(1)[0]), row(CARS), row(f"{long[:-1]} indeed.")]
    found = report(tmp_path, rows, ["What is justice?", CARS.lower() + "\n", long])
    assert (found.held_out.prompts, found.held_out.exact, found.held_out.near) == (3, 1, 1)
    assert [(each.sample.line, each.held_out) for each in found.held_out.examples] == [(2, 2), (3, 3)]
    assert found.held_out.examples[0].jaccard == 1.0
    assert found.warnings == {"held_out": 1, "nearly_held_out": 1}
    assert "1 samples with a held-out prompt" in found.faults


def test_what_is_worth_a_look_is_flagged(tmp_path: Path) -> None:
    plain = output("p").replace("CONTRADICTION: ", "And so ")
    rows = [row(prompts(1)[0], plain), row(CARS, output("q", answer="Never."))]
    found = report(tmp_path, rows)
    assert found.warnings == {"no_contradiction": 1, "short_answer": 1}
    assert {flagged.sample.line: flagged.warnings for flagged in found.flagged} == {
        1: ("no_contradiction",),
        2: ("short_answer",),
    }


def test_only_the_worst_are_named_and_all_are_counted(tmp_path: Path) -> None:
    rows = [row(prompt, output(prompt, answer="Never.")) for prompt in prompts(3 * FLAGGED)]
    rows.append(row(CARS, output("q", answer="Never.").replace("CONTRADICTION: ", "And so ")))
    found = report(tmp_path, rows)
    assert found.warnings["short_answer"] == len(rows)
    assert len(found.flagged) == FLAGGED
    assert found.flagged[0].sample.line == len(rows)


def test_what_samples_say_of_their_making_is_added_up(tmp_path: Path) -> None:
    facts: list[Row] = [
        {"completion_tokens": 100, "seconds": 1.5, "created": 20.0},
        {"completion_tokens": 300, "seconds": 2.5, "created": 10.0, "attempts": 3},
        {"completion_tokens": "many", "seconds": -1, "attempts": True, "created": None, "teacher": 7},
    ]
    rows = [row(prompt, **fact) for prompt, fact in zip(prompts(3), facts, strict=True)]
    found = report(tmp_path, rows)
    assert set(found.known) == {"completion_tokens", "seconds", "attempts"}
    tokens = found.known["completion_tokens"]
    assert (tokens.samples, tokens.total, tokens.median) == (2, 400, 100)
    assert found.known["seconds"].total == 4.0
    assert (found.known["attempts"].samples, found.known["attempts"].total) == (2, 4)
    assert (found.first_created, found.last_created) == (10.0, 20.0)
    assert found.teachers == {"kimi-code 2.1.0": 2, "2.1.0": 1}


def test_rejected_and_failed_attempts_are_told_apart_and_read_leniently(tmp_path: Path) -> None:
    attempts: list[Row | bytes] = [
        {"reason": "refusal", "query": "q", "new_field": 1},
        {"reason": "refusal", "kind": "rejected"},
        {"reason": "surplus"},
        {"kind": "failed", "reason": "rate"},
        {"kind": "failed"},
        b'{"torn',
    ]
    write(tmp_path / "s.rejected.jsonl", attempts)
    foreign = row(prompts(2)[1], prompt_id=None)
    found = report(tmp_path, [row(prompts(1)[0]), foreign]).not_accepted
    assert found.rejected == {"refusal": 2, "surplus": 1}
    assert found.failed == {"rate": 1, "unknown": 1}
    assert found.unreadable == 1
    assert found.share_accepted == pytest.approx(1 / 3)


def test_an_empty_rejected_file_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "s.rejected.jsonl").touch()
    assert report(tmp_path, [row(CARS)]).not_accepted.share_accepted == 1.0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    copies=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12),
    rng=st.randoms(use_true_random=False),
)
def test_duplicates_are_always_found_and_the_order_of_rows_plays_no_part(
    tmp_path: Path, copies: list[tuple[int, int]], rng: random.Random
) -> None:
    questions = prompts(5)
    rows = [row(questions[prompt], output(("o", out))) for prompt, out in copies]
    one, other = report(tmp_path, rows, questions[:1]), report(tmp_path, rng.sample(rows, len(rows)), questions[:1])
    assert one.distinct_prompts == len({prompt for prompt, _ in copies})
    assert one.duplicate_prompts.surplus == len(copies) - one.distinct_prompts
    assert one.duplicate_outputs.surplus == len(copies) - len({out for _, out in copies})
    assert one.held_out.exact == sum(prompt == 0 for prompt, _ in copies)
    assert without_places(one) == without_places(other)


def without_places(found: QualityReport) -> QualityReport:
    """A report without what depends on where rows stand."""

    def bare(part: msgspec.Struct) -> object:
        return msgspec.structs.replace(part, examples=())

    changes = {
        name: bare(getattr(found, name))
        for name in ("duplicate_prompts", "duplicate_outputs", "near_prompts", "near_outputs", "held_out")
    }
    return msgspec.structs.replace(found, flagged=(), unusable_lines=(), **changes)


def test_a_line_without_end_is_passed_over_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (quality, sample_rows):
        monkeypatch.setattr(module, "MAX_LINE", 1 << 12)
    huge = b'{"output": "' + b"x" * 20_000
    found = report(tmp_path, [row(prompts(1)[0]), huge, row(CARS)])
    assert (found.rows, found.accepted, found.unusable) == (3, 2, {"line_too_long": 1})
    assert found.unusable_lines[0].line == 2
    last = write(tmp_path / "last.jsonl", [row(CARS), huge])
    last.write_bytes(last.read_bytes()[:-1])
    assert assess(last, tmp_path / "none", []).unusable == {"line_too_long": 1}


def test_a_file_that_is_no_sample_file_is_one_clear_line(tmp_path: Path) -> None:
    cases: dict[str, bytes | None] = {
        "there is no such sample file": None,
        "is empty": b"",
        "is empty ": b"\n \n\n",
        "is no sample file: 2 of 2 lines are no JSON": b"PK\x03\x04\x00\nbinary",
        "is no sample file: 1 of 1 lines are no JSON": "Grüße\n".encode("latin-1"),
    }
    for message, content in cases.items():
        path = tmp_path / "bad.jsonl"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=message.strip()) as caught:
            assess(path, tmp_path / "none", [])
        assert caught.value.exit_code == ExitCode.USAGE
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01])
def test_a_threshold_outside_its_range_is_refused(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(ValueError, match="near_threshold"):
        report(tmp_path, [row(CARS)], near_threshold=threshold)


def test_progress_goes_from_nothing_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_REPORT_EVERY", 2)
    told: list[tuple[str, float]] = []
    path = write(tmp_path / "s.jsonl", [row(prompt) for prompt in prompts(6)])
    assess(path, tmp_path / "none", [], progress=lambda what, share: told.append((what, share)))
    assert [what for what, _ in told[:3]] == ["reading samples"] * 3
    assert told[-1] == ("comparing outputs", 1.0)
    assert all(0 <= share <= 1 for _, share in told)


def test_rows_that_are_changed_meanwhile_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [row(CARS), row(CARS)])

    def cut(what: str, share: float) -> None:
        if what != "reading samples":
            path.write_bytes(b"")

    found = assess(path, tmp_path / "none", [], progress=cut)
    assert found.duplicate_prompts.surplus == 1
    assert found.duplicate_prompts.examples[0].one.id == ""


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_percentiles_are_values_of_the_nearest_rank(values: list[int]) -> None:
    found = spread(values)
    assert found is not None
    assert (found.min, found.max) == (min(values), max(values))
    assert found.min <= found.p5 <= found.median <= found.p95 <= found.max
    for share, value in ((0.05, found.p5), (0.5, found.median), (0.95, found.p95)):
        assert value in values
        assert sum(each <= value for each in values) >= share * len(values)
        assert sum(each < value for each in values) < share * len(values)


def test_no_values_have_no_spread() -> None:
    assert spread([]) is None
    assert SampleFigures().lengths() == {}


def test_the_number_of_different_names_is_bounded() -> None:
    names = SampleFigures().sources
    for number in range(1000):
        count(names, f"source {number}\x1b[2J\n")
    count(names, "source 0[2J")
    assert len(names) == 101
    assert names[OTHERS] == 900
    assert names["source 0[2J"] == 2


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Why?", "latin"),
        ("42", "none"),
        ("Почему так?", "cyrillic"),
        ("为什么这样", "cjk"),
        ("٤٢", "none"),
        ("où ça", "latin"),
    ],
)
def test_scripts_are_told(prompt: str, name: str) -> None:
    assert script(prompt) == name


def test_the_example_is_the_same_in_whatever_order_rows_stand(tmp_path: Path) -> None:
    rows = [row(prompt) for prompt in prompts(6)]
    one = report(tmp_path, rows).example
    assert one is not None
    assert one == report(tmp_path, rows[::-1]).example
    assert one.instruction in prompts(6)
    long = row(CARS, output("long", words=600))
    assert report(tmp_path, [long]).example is None
