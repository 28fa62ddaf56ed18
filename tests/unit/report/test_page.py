"""The page: what it tells of runs that ended in every way, and that no text gets out of its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hegelion_core import events as e
from hegelion_core.curves import StepRow, of_rows
from hegelion_core.errors import ExitCode
from hegelion_core.evaluation.summary import Evaluation, GivenAnswer, PromptResult
from hegelion_core.report.collect import tell
from hegelion_core.report.model import Example, Report, Setting
from hegelion_core.report.page import page
from tests.fakes.html_pages import Page, assert_loads_nothing

ROOT = Path("/somewhere/debates")
HOSTILE = st.text(
    st.sampled_from(list("<>&\"'/=!-[]?;#x\0\r\n\t\x1b\u202e\u2028 ")) | st.characters(codec="utf-8"),
    min_size=1,
    max_size=60,
)


def opened(text: str = "t") -> list[e.AnyEvent]:
    return [
        e.RunOpened(at=10, run_id=text, folder=text, target=4, teacher=text, student=text, source=text, core_pid=0),
        e.WorkRequested(at=10, stages=("generate", "train", "evaluate")),
        e.SamplesCounted(at=10, path=text, accepted=0),
        e.StageStarted(at=10, stage="generate"),
    ]


def generated(text: str = "t", prompt: str = "p") -> list[e.AnyEvent]:
    return [
        e.PromptsPrepared(at=10, count=9, source=text, left_out={text: 2}),
        e.TeacherReady(at=11, teacher=text, version=text),
        e.SampleRequested(at=12, instance=1, prompt_id=prompt),
        e.SampleRejected(at=14, instance=1, prompt_id=prompt, reason=text, tokens=20, prompt_tokens=30),
        e.RequestFailed(at=15, instance=1, prompt_id=prompt, kind=text, message=text),
        e.SampleRequested(at=15, instance=1, prompt_id=prompt),
        e.SampleAccepted(at=20, instance=1, prompt_id=prompt, sample_id="s", accepted=1, seconds=5),
        e.StageFinished(at=21, stage="generate", key="k", outputs={}, summary=text),
    ]


def plan(target_s: float = 0.02, device: str = "on the processor") -> e.TrainingPlanned:
    return e.TrainingPlanned(
        iters=9, rows=8, validation_rows=1, tokens_per_epoch=700, trainable=64, target_s=target_s, device=device
    )


def step(number: int, lam: float = 1.0) -> e.StepReported:
    return e.StepReported(
        at=30 + number,
        step=number,
        iters=9,
        loss=3.0 / number,
        data_bpt=4.0 / number,
        param_bpt=0.1,
        s=0.01 * number,
        lambda_before=lam,
        lambda_after=lam,
    )


def report_of(events: list[e.AnyEvent], *, at_work: bool = False) -> Report:
    history = tell(events)
    curves = of_rows(StepRow(s.step, s.loss, s.data_bpt, s.param_bpt, s.s, s.lambda_after) for s in history.state.steps)
    for value in history.state.validations:
        curves.validation.append(value.step, value.loss)
    return Report(history=history, written_at=100.0, at_work=at_work, root=ROOT, curves=curves)


def full(text: str) -> Report:
    """A report with ``text`` in every place that a stranger's text can reach."""
    answer = GivenAnswer(text=text, tokens=3, cut=True, complete_trace=False)
    evaluation = Evaluation(
        student=text,
        adapter_path=text,
        validation_rows=1,
        validation_tokens=9,
        base_loss_nats_per_token=2.0,
        adapter_loss_nats_per_token=1.5,
        base_bits_per_token=2.9,
        adapter_bits_per_token=2.2,
        base_complete_trace_share=0.0,
        adapter_complete_trace_share=0.5,
        max_new_tokens=9,
        base_seconds=1.0,
        adapter_seconds=1.0,
        results=(PromptResult(prompt=text, base=answer, adapter=answer),),
    )
    events = [
        *opened(text),
        *generated(text, text),
        e.RowsConverted(at=22, rows=3, skipped={text: 1}, path=text, template=text),
        plan(device=text),
        *(step(number) for number in range(1, 6)),
        e.ValidationReported(at=36, step=5, loss=2.0),
        e.TrainingRestarted(at=36, reason=text, step=3, micro_batch_size=1, accumulation=2, max_seq_length=9),
        e.TrainingFinished(at=37, steps=5, adapter_path=text, seconds=5, kept_step=5),
        e.NoticePosted(at=37, text=text, level="warning"),
        e.StageFailed(at=38, stage="evaluate", message=text, hint=text),
        e.RunEnded(at=39, exit_code=1),
    ]
    return replace(
        report_of(events),
        evaluation=evaluation,
        examples=(Example(text, text, text, text, text, text),),
        settings=(Setting(text, text, text, True),),
        environment=((text, text),),
    )


PLAIN = Page(page(full("x")))


@given(HOSTILE)
@example("</title></style><script>alert(1)</script>")
@example('" onload="alert(1)" x="')
@example("<!--")
@example("]]><svg onload=alert(1)>&lt;&#60;")
@settings(max_examples=60, deadline=None)
def test_no_text_makes_an_element_an_attribute_or_a_comment(text: str) -> None:
    found = Page(page(full(text)))
    assert found.shape == PLAIN.shape
    assert found.comments == []
    assert_loads_nothing(found)
    assert plain(text) in plain(found.text), "what can be shown is shown"


def plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in " \N{REPLACEMENT CHARACTER}")


def test_a_whole_run_is_told_in_pictures_and_figures() -> None:
    found = PLAIN
    labels = [svg["aria-label"] for svg in found.all("svg")]
    assert [label.partition(":")[0] for label in labels] == [
        "Samples over time",
        "Loss",
        "S, the update's share of the whole cost",
        "λ, the strength of the pull",
    ]
    assert "validation" in labels[1]
    assert "S* = 2.00%" in labels[2]
    for told in ("requests2", "30 read, 20 written", "50%", "2.000", "1.500", "kept: step 5", "Ended in an error"):
        assert told in found.text


def test_a_run_that_only_generated_has_no_empty_sections() -> None:
    found = Page(page(report_of([*opened(), *generated(), e.RunEnded(at=22, exit_code=ExitCode.COME_BACK_LATER)])))
    assert len(found.all("svg")) == 1
    assert "quota was used up" in found.text
    for heading in ("Training", "Before and after", "Some samples"):
        assert heading not in found.text


def test_a_run_whose_core_was_killed_says_so_and_one_at_work_too() -> None:
    events = [*opened(), *generated()[:-1]]
    killed = Page(page(report_of(events))).text
    assert "ended without warning" in killed
    assert "■ generate stopped" in killed
    working = Page(page(report_of(events, at_work=True))).text
    assert "At work" in working
    assert "● generate running" in working


def test_nothing_at_all_is_a_page_too() -> None:
    found = Page(page(report_of([])))
    assert found.all("svg") == []
    assert_loads_nothing(found)


def test_the_standard_trainer_has_no_target_and_no_pull() -> None:
    found = Page(page(report_of([*opened(), plan(target_s=0.0), step(1, 0.0), step(2, 0.0)])))
    assert "S*" not in found.text
    assert "λ" not in found.text
    assert "only measured" in found.text


def test_long_texts_are_cut_and_long_curves_thinned() -> None:
    report = report_of([*opened(), plan(), step(1)])
    curves = of_rows(
        StepRow(number, loss=99.0 if number == 30_001 else 1.0, s=0.01, lambda_after=1.0) for number in range(1, 60_000)
    )
    html = page(replace(report, curves=curves, examples=(Example("p", "t" * 10**6, "a", "s", "b", ""),)))
    assert len(html) < 120_000
    lowest = min(float(pair.partition(",")[2]) for pair in Page(html).all("polyline")[0]["points"].split())
    assert lowest < 30, "the peak is drawn at the top"


def test_the_time_of_generation_leaves_pauses_out_and_goes_on_after_a_kill() -> None:
    events = [
        *opened(),
        e.SampleAccepted(at=20, instance=1, prompt_id="a", sample_id="a", accepted=1, seconds=5),
        e.GenerationPaused(at=21, reason="quota", kind="quota"),
        e.GenerationResumed(at=5021),
        e.SampleAccepted(at=5025, instance=1, prompt_id="b", sample_id="b", accepted=2, seconds=5),
        e.RunOpened(at=9000, run_id="r", folder="f", target=4, teacher="t", student="s", source="p", core_pid=0),
        e.WorkRequested(at=9000, stages=("generate",)),
        e.StageStarted(at=9000, stage="generate"),
        e.SampleRejected(at=9002, instance=1, prompt_id="c", reason="empty"),
        e.SampleAccepted(at=9004, instance=1, prompt_id="c", sample_id="c", accepted=3, seconds=5),
    ]
    history = tell(events)
    assert list(history.accepted) == [(0, 0), (10, 1), (15, 2), (15, 2), (19, 3)]
    assert list(history.rejected) == [(0, 0), (15, 0), (17, 1)]
    assert history.made == 3
    assert history.began == 10


@pytest.mark.parametrize("set_back", [0.0, -1000.0])
def test_a_clock_that_was_set_back_draws_no_line_backwards(set_back: float) -> None:
    late = e.SampleAccepted(at=20 + set_back, instance=1, prompt_id="b", sample_id="b", accepted=2, seconds=1)
    history = tell([*opened(), *generated()[:-1], late])
    assert list(history.accepted.steps) == sorted(history.accepted.steps)
