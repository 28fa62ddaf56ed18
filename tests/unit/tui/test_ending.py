"""The summary at the end: every end, what there is to tell of it, and what to do next with the keys of now."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hegelion_core import events as e
from hegelion_core.fold import fold
from hegelion_core.run_state import RunState
from hegelion_tui import ending
from hegelion_tui.keys import KeyedApp, key_names
from tests.tui.fake_operations import answered, ended, generating, opened, step, training

ROOT = Path("/somewhere")
KEYS = key_names(None)


def whole_run() -> RunState:
    """A run in which all went well, an hour after the epoch's beginning."""
    events = [*opened(), *generating(), *answered(20), *training(), step(2), step(24), *ended()]
    events.insert(12, e.SampleRejected(instance=2, prompt_id="p", reason="too_long"))
    events.insert(13, e.RequestFailed(instance=2, prompt_id="q", kind="timeout", message="\x1b[2J"))
    return fold(replace(event, at=60.0 * number) for number, event in enumerate(events))


def told(state: RunState, width: int = 100) -> str:
    return ending.summary(state, ROOT, KEYS, width).plain


def test_a_run_that_went_well() -> None:
    text = told(whole_run())
    assert text.splitlines()[0] == "✓ Done in 56m 00s."
    for line in (
        "samples    20 of 20, 95% of the answers accepted, 27.3/h",
        "trouble    answers rejected: 1 too long; calls failed: 1 timeout",
        "rows       20",
        "           artifacts/data/hegelion_scu_ready.jsonl",
        "training   24 steps, loss 3.000 → 1.625, S 2.00% (S* 2.00%)",
        "           artifacts/adapters/hegelion_1.5b_v1",
        "evaluation loss 2.812 → 1.934, whole traces 0% → 50%",
        "d          look through the samples",
        "q          leave; everything is on disk",
        "mlx_lm.generate --adapter-path artifacts/adapters/hegelion_1.5b_v1 loads the adapter.",
    ):
        assert line in text.splitlines(), text


@pytest.mark.parametrize(
    ("code", "outcome", "advice"),
    [
        (0, "✓ Done.", "r          go on with the stages that are left"),
        (1, "the run ended in an error.\nboom Mend it.", "r          go on where it was, when that is mended"),
        (3, "ended in an error.", "h          what is ready, what is wrong, and mend it"),
        (75, "quota is used up.\nboom Mend it.", "r          go on, when the quota has refilled; nothing is lost"),
        (130, "■ Stopped.", "r          go on where it was"),
    ],
)
def test_every_end_has_its_advice(code: int, outcome: str, advice: str) -> None:
    text = told(replace(RunState(), exit_code=code, error="boom", hint="Mend it."))
    assert outcome in text
    assert advice in text.splitlines()


def test_a_stage_that_failed_is_named_and_nothing_of_its_words_can_steer_the_terminal() -> None:
    events = [*opened(), *generating(), *training(), step(12), e.CheckpointSaved(step=10, path="x")]
    events += [e.StageFailed(stage="train", message="\x1b[2Jboom", hint="\x07Mend it."), e.RunEnded(exit_code=1)]
    text = told(fold(events))
    assert "✗ train ended in an error." in text
    assert "step 12 of 24, loss 1.750, S 2.50% (S* 2.00%), checkpoint at step 10" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_report_is_named_below_the_workspace() -> None:
    state = replace(RunState(), exit_code=0, report="/somewhere/artifacts/runs/r/report.html")
    assert "report     artifacts/runs/r/report.html" in told(state)
    assert "report" not in told(replace(state, report=""))


def test_losses_that_were_not_measured_are_not_told() -> None:
    result = e.EvaluationFinished(
        path="x", prompts=6, validation_rows=0, base_loss=0.0, adapter_loss=0.0, base_bits=0.0, adapter_bits=0.0,
        base_traces=0.0, adapter_traces=0.5,
    )  # fmt: skip
    text = told(replace(whole_run(), evaluation=result))
    assert "evaluation whole traces 0% → 50%" in text


def test_keys_of_ones_own_are_named() -> None:
    app = KeyedApp()
    app.use_keys({"run_all": "f5,z"})
    text = ending.summary(replace(RunState(), exit_code=130), ROOT, key_names(app), 80).plain
    assert "f5         go on where it was" in text


@given(st.integers(0, 200))
def test_lines_keep_to_their_width_where_words_allow_it(width: int) -> None:
    for line in told(whole_run(), width).splitlines():
        assert len(line) <= max(width, 32) or "artifacts/" in line or line[:1] in "dqrhC"
