"""The generator: exactly what is wanted, whatever the teacher does. The teacher here is scripted, for its faults."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hegelion_core import events as e
from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.identity import prompt_id
from hegelion_core.errors import ExitCode, UserError
from hegelion_core.event_log import EventLog, EventReader
from hegelion_core.generation import breaker, by_hand, pacing
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.claims import Claims
from hegelion_core.generation.generator import Generator
from hegelion_core.generation.prompts import Prompt
from hegelion_core.generation.store import SampleStore
from hegelion_core.settings import GenerationSettings
from hegelion_core.teachers.teacher import REQUEST, Answer, Call, FaultKind, TeacherFault, TeacherInfo
from hegelion_core.workspace import RunFolder, Workspace

GOOD = (
    "<thought>\n**THESIS**: Cars give freedom to people who live far from a station.\n"
    "**ANTITHESIS**: That freedom is paid for by those who breathe the exhaust in the street.\n"
    "**SYNTHESIS**: Freedom of movement is worth having where its costs fall on the mover.\n</thought>\n"
    "Keep cars where nothing else goes, and price them where something does."
)
HOLDER = """
import sys
from pathlib import Path
from hegelion_core.generation.call_folders import CallFolders
from hegelion_core.generation.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(all([claims.take(name) for name in sys.argv[2:]]), flush=True)
sys.stdin.read()
"""
Script = Callable[[Call], Answer | TeacherFault]


class ScriptedTeacher:
    """Answers by a function of the call; records how many calls were in flight at once."""

    def __init__(self, script: Script, calls_per_instance: int = 1) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._calls_per_instance = calls_per_instance
        self.proofs = 0
        self.tidied = 0
        self.doubts: list[TeacherFault] = []

    @property
    def calls_per_instance(self) -> int:
        return self._calls_per_instance

    async def start(self) -> TeacherInfo:
        return TeacherInfo(name="scripted", version="1")

    async def ask(self, call: Call, folder: Path, log: Callable[[str], None]) -> Answer:
        assert msgspec.json.decode((folder / REQUEST).read_bytes(), type=Call) == call
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.in_flight -= 1
        result = self.script(call)
        if isinstance(result, TeacherFault):
            raise result
        return result

    def tidy(self) -> None:
        self.tidied += 1

    async def prove(self, log: Callable[[str], None], *, step: bool = False) -> None:
        self.proofs += 1
        if self.doubts:
            raise self.doubts.pop(0)

    def read_growing(self, folder: Path) -> str:
        return ""

    def read_answer(self, folder: Path) -> Answer | None:
        out = folder / "out"
        text = out.read_text() if out.exists() else ""
        if "a tool" in text:
            raise TeacherFault("tool_use", "it reached for a tool")
        return Answer(text=text) if "</thought>" in text else None

    async def close(self) -> None:
        pass


class Bench:
    """A generator on a folder, and what came of it."""

    def __init__(self, tmp_path: Path, teacher: ScriptedTeacher, *, prompts: int = 30, **settings: float | str) -> None:
        self.place = Workspace(tmp_path)
        self.run = RunFolder(tmp_path / "run")
        self.run.spool.mkdir(parents=True, exist_ok=True)
        self.log = EventLog(self.run.events)
        self.store = SampleStore(tmp_path / "samples.jsonl")
        self.claims = Claims(self.store.path)
        texts = [f"Should city number {n} ban cars?" for n in range(prompts)]
        self.prompts = [Prompt(id=prompt_id(text), text=text, source="test", row=n) for n, text in enumerate(texts)]
        self.teacher = teacher
        generation = GenerationSettings.model_validate({"limit": 10, "instances": 2, "quota_wait": 0, **settings})
        self.generator = Generator(
            run=self.run,
            place=self.place,
            settings=generation,
            target=generation.limit or 0,
            teacher=teacher,
            store=self.store,
            claims=self.claims,
            log=self.log,
            prompts=self.prompts,
        )

    def events(self) -> list[e.AnyEvent]:
        return EventReader(self.run.events).read()

    def rejected(self) -> list[dict[str, str]]:
        if not self.store.rejected_path.exists():
            return []
        return [json.loads(line) for line in self.store.rejected_path.read_text().splitlines()]

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.rejected()]


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "BACKOFF", 0.0)


def good(call: Call) -> Answer:
    return Answer(text=GOOD, completion_tokens=50)


def fault(kind: FaultKind) -> TeacherFault:
    return TeacherFault(kind, f"it is {kind}", "do this")


@pytest.mark.parametrize(("instances", "calls"), [(1, 1), (2, 1), (3, 4), (16, 1)])
async def test_exactly_the_limit_is_accepted_and_no_call_too_many_is_made(
    tmp_path: Path, instances: int, calls: int
) -> None:
    teacher = ScriptedTeacher(good, calls)
    bench = Bench(tmp_path, teacher, instances=instances)
    await bench.generator.run()
    assert bench.store.accepted == 10
    assert len(teacher.calls) == 10
    assert teacher.most_in_flight == min(10, instances * calls)
    assert list(bench.run.calls.iterdir()) == []


async def test_what_is_there_counts_and_is_not_done_again(tmp_path: Path) -> None:
    await Bench(tmp_path, ScriptedTeacher(good), limit=4).generator.run()
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, limit=6)
    await bench.generator.run()
    assert len(teacher.calls) == 2
    assert len(bench.store.path.read_bytes().splitlines()) == 6


async def test_a_rejected_answer_is_kept_and_asked_again_at_once_naming_the_fault(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda call: Answer(text="I like cars.") if call.attempt == 1 else good(call))
    bench = Bench(tmp_path, teacher, instances=1, limit=2)
    await bench.generator.run()
    assert [call.attempt for call in teacher.calls] == [1, 2, 1, 2]
    assert teacher.calls[0].correction is None
    assert teacher.calls[1].prompt_id == teacher.calls[0].prompt_id
    assert teacher.calls[1].correction
    assert len(bench.reasons()) == 2
    assert bench.log.state.acceptance == 0.5


async def test_one_re_ask_names_the_fault_and_the_next_attempt_is_made_later_and_anew(tmp_path: Path) -> None:
    bad = prompt_id("Should city number 0 ban cars?")
    teacher = ScriptedTeacher(lambda call: Answer(text="No.") if call.prompt_id == bad else good(call))
    bench = Bench(tmp_path, teacher, instances=1, limit=4, prompts=5)
    await bench.generator.run()
    asked = [(call.prompt_id == bad, call.attempt, call.correction is not None) for call in teacher.calls]
    assert asked[:3] == [(True, 1, False), (True, 2, True), (False, 1, False)]
    assert asked.count((True, 3, False)) <= 1
    assert (True, 3, True) not in asked


async def test_a_wait_of_hours_is_granted_like_a_quotas(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda call: TeacherFault("rate", "daily limit", "later", retry_after=86_400.0))
    bench = Bench(tmp_path, teacher, quota_wait=3600)
    with pytest.raises(UserError, match="daily limit") as raised:
        await bench.generator.run()
    assert raised.value.exit_code == ExitCode.COME_BACK_LATER


async def test_a_prompt_is_set_aside_after_its_last_attempt_and_stays_so(tmp_path: Path) -> None:
    bad = prompt_id("Should city number 0 ban cars?")

    def script(call: Call) -> Answer:
        return Answer(text="No.") if call.prompt_id == bad else good(call)

    teacher = ScriptedTeacher(script)
    bench = Bench(tmp_path, teacher, limit=4, prompts=4)
    with pytest.raises(UserError, match=r"3 of 4 samples are accepted, 1 prompts set aside \(1 no_thought_block; see"):
        await bench.generator.run()
    assert Counter(call.prompt_id for call in teacher.calls)[bad] == 3
    assert list(bench.log.state.set_aside) == [bad]
    bench.claims.close()
    again = ScriptedTeacher(script)
    await Bench(tmp_path, again, limit=5).generator.run()
    assert bad not in {call.prompt_id for call in again.calls}


async def test_what_the_service_is_to_blame_for_is_tried_again_and_counts_against_no_prompt(tmp_path: Path) -> None:
    """An outage over the first 20 calls, with three prompts and one attempt each."""
    teacher = ScriptedTeacher(lambda call: fault("transient") if len(teacher.calls) <= 20 else good(call))
    bench = Bench(tmp_path, teacher, limit=3, prompts=3, max_attempts=1)
    await bench.generator.run()
    assert bench.store.accepted == 3
    assert bench.log.state.failed_by_kind == {"transient": 20}
    assert {event.counted for event in bench.events() if isinstance(event, e.RequestFailed)} == {False}
    assert teacher.most_in_flight == 2
    assert [(row["kind"], row["reason"]) for row in bench.rejected()] == [("failed", "transient")] * 20


async def test_a_prompt_that_brings_the_service_down_each_time_is_set_aside(tmp_path: Path) -> None:
    poison = prompt_id("Should city number 3 ban cars?")
    teacher = ScriptedTeacher(lambda call: fault("transient") if call.prompt_id == poison else good(call))
    bench = Bench(tmp_path, teacher, limit=9, prompts=10, max_attempts=1)
    await bench.generator.run()
    assert list(bench.log.state.set_aside) == [poison]


async def test_a_rate_limit_slows_all_down_and_what_the_provider_asks_for_is_told(tmp_path: Path) -> None:
    limit = TeacherFault("rate", "slow down", "fewer instances", retry_after=0.01)
    teacher = ScriptedTeacher(lambda call: limit if len(teacher.calls) <= 8 else good(call))
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher, instances=8, limit=20)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 8:
        await asyncio.sleep(0)
    teacher.gate.set()
    await task
    assert bench.store.accepted == 20
    paces = [event.allowed for event in bench.events() if isinstance(event, e.PaceChanged)]
    assert paces[0] == 4
    assert max(paces) <= 8
    assert not bench.log.state.attempts
    assert not bench.log.state.set_aside


async def test_a_quota_is_waited_for_in_plain_words_and_ends_in_one_call(tmp_path: Path) -> None:
    refills = TeacherFault("quota", "usage limit", "it refills", retry_after=3.2)
    teacher = ScriptedTeacher(lambda call: refills if len(teacher.calls) == 1 else good(call))
    bench = Bench(tmp_path, teacher, instances=1, limit=2, quota_wait=60)
    await bench.generator.run()
    assert bench.store.accepted == 2
    paused = [event for event in bench.events() if isinstance(event, e.GenerationPaused)]
    assert [(event.kind, event.advice) for event in paused] == [("quota", "it refills")]
    assert paused[0].until == pytest.approx(paused[0].at + 3.2, abs=0.5)
    assert [type(event) for event in bench.events()].count(e.GenerationResumed) == 1
    assert not bench.log.state.paused


async def test_a_stop_ends_the_wait_for_a_quota(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda call: TeacherFault("quota", "usage limit", "", retry_after=3600.0))
    bench = Bench(tmp_path, teacher, quota_wait=7200)
    task = asyncio.create_task(bench.generator.run())
    while not bench.log.state.paused:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_teacher_proves_itself_before_it_sees_a_prompt(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.doubts = [fault("transient"), fault("timeout")]
    bench = Bench(tmp_path, teacher, limit=1)
    await bench.generator.run()
    assert teacher.proofs == 3
    unsafe = ScriptedTeacher(good)
    unsafe.doubts = [fault("tool_use")]
    with pytest.raises(UserError, match="it is tool_use"):
        await Bench(tmp_path, unsafe, limit=2).generator.run()
    assert not unsafe.calls


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("not_logged_in", ExitCode.NOT_READY),
        ("quota", ExitCode.COME_BACK_LATER),
        ("balance", ExitCode.FAILED),
        ("terminated", ExitCode.FAILED),
    ],
)
async def test_what_no_retry_can_mend_ends_the_generation_at_once(
    tmp_path: Path, kind: FaultKind, code: ExitCode
) -> None:
    teacher = ScriptedTeacher(lambda call: fault(kind) if len(teacher.calls) > 3 else good(call))
    bench = Bench(tmp_path, teacher)
    with pytest.raises(UserError) as raised:
        await bench.generator.run()
    assert raised.value.exit_code == code
    assert raised.value.hint == "do this"
    assert len(teacher.calls) <= 5


@pytest.mark.parametrize("answer", [fault("protocol"), Answer(text="No.")])
async def test_the_breaker_ends_a_run_in_which_everything_fails_and_says_why(
    tmp_path: Path, answer: Answer | TeacherFault
) -> None:
    teacher = ScriptedTeacher(lambda call: answer)
    bench = Bench(tmp_path, teacher)
    with pytest.raises(UserError, match=r"10 of the last 10 calls failed \(10 (protocol|rejected).*An example: \w+"):
        await bench.generator.run()
    assert len(teacher.calls) <= breaker.LEAST + 1


async def test_three_tool_uses_of_a_run_end_it_and_each_sets_its_prompt_aside(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda call: fault("tool_use") if len(teacher.calls) <= 2 else good(call))
    bench = Bench(tmp_path, teacher, instances=1, limit=1)
    await bench.generator.run()
    bench.claims.close()
    again = Bench(tmp_path, ScriptedTeacher(lambda call: fault("tool_use")), instances=1, limit=4)
    with pytest.raises(UserError, match="tool on 3 prompts"):
        await again.generator.run()
    assert len(again.teacher.calls) == 1
    assert len(again.log.state.set_aside) == 3
    assert again.reasons() == ["tool_use"] * 3


async def test_prompts_that_run_out_are_an_error_that_says_how_far_it_came(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ScriptedTeacher(good), prompts=4)
    with pytest.raises(UserError, match="4 of 10"):
        await bench.generator.run()


def left_behind(bench: Bench, number: int, text: str) -> Call:
    """A call that was in flight when the core died."""
    prompt = bench.prompts[number]
    call = Call(call_id=f"{prompt.id}-a", prompt_id=prompt.id, query=prompt.text, instance=1)
    folder = bench.run.calls / call.call_id
    folder.mkdir(parents=True)
    (folder / REQUEST).write_bytes(msgspec.json.encode(call))
    (folder / "out").write_text(text)
    return call


async def test_answers_that_were_whole_when_the_core_died_are_salvaged_and_the_rest_is_asked_again(
    tmp_path: Path,
) -> None:
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, limit=2)
    half = "<thought>\n**THESIS**: " + "Half of a thought. " * 20
    left_behind(bench, 0, GOOD)
    left_behind(bench, 1, half)
    left_behind(bench, 2, "hello\n")
    (bench.run.calls / "nonsense").mkdir()
    await bench.generator.run()
    assert len(teacher.calls) == 1
    assert bench.store.accepted == 2
    assert [event.salvaged for event in bench.events() if isinstance(event, e.SampleAccepted)] == [True, False]
    assert [(row["reason"], row["text"]) for row in bench.rejected()] == [("interrupted", half)]
    assert bench.store.rejected == 0
    assert list(bench.run.calls.iterdir()) == []


async def test_a_tool_that_was_reached_for_when_the_core_died_counts_as_one(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, limit=1)
    call = left_behind(bench, 0, "a tool")
    await bench.generator.run()
    assert list(bench.log.state.set_aside) == [call.prompt_id]
    assert bench.log.state.failed_by_kind == {"tool_use": 1}
    assert call.prompt_id not in {asked.prompt_id for asked in teacher.calls}
    assert teacher.tidied == 1


@pytest.mark.parametrize("text", [GOOD, "<thought></thought> Not dialectical."])
async def test_an_answer_that_was_kept_just_before_the_core_died_is_not_kept_twice(tmp_path: Path, text: str) -> None:
    """Killed between the write and the removal of the call's folder."""
    teacher = ScriptedTeacher(lambda call: Answer(text=text) if len(teacher.calls) == 1 else good(call))
    bench = Bench(tmp_path, teacher, limit=1)
    removed: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CallFolders, "remove", removed.append)
        await bench.generator.run()
    bench.claims.close()
    (removed[0] / "out").write_text(text)
    rejected = bench.rejected()
    again = Bench(tmp_path, ScriptedTeacher(good), limit=1)
    await again.generator.run()
    assert again.rejected() == rejected
    assert len(again.store.path.read_bytes().splitlines()) == 1


async def test_instances_are_added_and_taken_away_while_it_runs(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher, instances=1)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 1:
        await asyncio.sleep(0)
    bench.generator.scale(3)
    while teacher.in_flight < 3:
        await asyncio.sleep(0)
    bench.generator.scale(2)
    teacher.gate.set()
    await task
    assert bench.store.accepted == 10
    assert {call.instance for call in teacher.calls[3:]} <= {1, 2}


async def test_one_instance_is_stopped_by_itself_and_others_ask_what_it_asked(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher, prompts=10, instances=3)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 3:
        await asyncio.sleep(0)
    (dropped,) = [call.prompt_id for call in teacher.calls if call.instance == 2]
    assert bench.generator.stop_instance(2) == 2
    while teacher.in_flight > 2:
        await asyncio.sleep(0)
    assert bench.log.state.working == (1, 3)
    assert not bench.log.state.instances[2].in_flight
    assert bench.log.state.attempts == {}, "nothing counts against the prompt"
    with pytest.raises(UserError, match="Generator 2 is not at work"):
        bench.generator.stop_instance(2)
    assert bench.generator.stop_instance(3) == 1
    with pytest.raises(UserError, match="the only one"):
        bench.generator.stop_instance(1)
    teacher.gate.set()
    await task
    assert bench.store.accepted == 10
    assert {call.instance for call in teacher.calls[3:]} == {1}
    assert dropped in [call.prompt_id for call in teacher.calls[3:]]


async def test_an_instance_that_was_stopped_is_the_first_to_come_back(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher, instances=3)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 3:
        await asyncio.sleep(0)
    bench.generator.stop_instance(2)
    bench.generator.scale(3)  # at once: the call that is ending does not keep its place
    while len(teacher.calls) < 4 or teacher.in_flight < 3:
        await asyncio.sleep(0)
    assert teacher.calls[3].instance == 2
    assert bench.log.state.working == (1, 2, 3)
    teacher.gate.set()
    await task
    assert bench.store.accepted == 10


async def test_what_a_stopped_instance_was_told_whole_is_kept(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher, instances=2)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 2:
        await asyncio.sleep(0)
    (call,) = [call for call in teacher.calls if call.instance == 2]
    (bench.run.calls / call.call_id / "out").write_text(GOOD)
    bench.generator.stop_instance(2)
    while not bench.store.accepted:
        await asyncio.sleep(0)
    assert bench.store.knows_call(call.call_id)
    teacher.gate.set()
    await task


async def test_two_processes_on_one_output_never_do_the_same_and_together_no_more_than_is_missing(
    tmp_path: Path,
) -> None:
    """Another process holds three prompts of eleven; it dies while nothing else is left to do."""
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, prompts=11, instances=8, limit=11)
    held = [prompt.id for prompt in bench.prompts[:3]]
    command = [sys.executable, "-c", HOLDER, str(bench.store.path), *held]
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert other.stdout is not None
    assert await other.stdout.readline() == b"True\n"
    task = asyncio.create_task(bench.generator.run())
    while bench.store.accepted < 8:
        await asyncio.sleep(0.01)
    assert not {call.prompt_id for call in teacher.calls} & set(held)
    assert teacher.most_in_flight <= 8
    other.kill()
    await other.wait()
    await task
    assert bench.store.accepted == 11


async def test_a_prompt_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, prompts=11)
    bench.claims.take(bench.prompts[0].id)
    await bench.generator.run()
    assert bench.prompts[0].id not in {call.prompt_id for call in teacher.calls}


async def test_cancelling_leaves_claims_free_and_files_whole(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(good)
    teacher.gate.clear()
    bench = Bench(tmp_path, teacher)
    task = asyncio.create_task(bench.generator.run())
    while teacher.in_flight < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert teacher.in_flight == 0
    assert bench.claims.take(teacher.calls[0].prompt_id)


async def test_an_answer_over_the_limit_is_kept_as_surplus(tmp_path: Path) -> None:
    """Another process fills the file while our call is in flight."""
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, limit=1, instances=1)
    other = Bench(tmp_path, ScriptedTeacher(good), limit=1)
    original = teacher.script

    def script(call: Call) -> Answer | TeacherFault:
        query = bench.prompts[9].text
        other.store.append(
            make_sample(query, Answer(text=GOOD), prompt_id=bench.prompts[9].id, system="", metadata={}), limit=1
        )
        return original(call)

    teacher.script = script
    await bench.generator.run()
    assert bench.store.accepted == 1
    assert bench.reasons() == ["surplus"]


async def test_a_sample_that_is_rejected_by_hand_meanwhile_is_made_up_for(tmp_path: Path) -> None:
    console = SampleStore(tmp_path / "samples.jsonl")

    def answer(call: Call) -> Answer:
        console.refresh()
        if console.accepted == 5:
            by_hand.decide(console, console.line(0), "reject")
        return good(call)

    bench = Bench(tmp_path, ScriptedTeacher(answer), prompts=11, instances=1)
    await bench.generator.run()
    bench.store.refresh()
    assert bench.store.accepted == 10
    assert len(bench.store) == 11
    assert bench.store.state(0) == "rejected by hand"


async def test_when_the_prompts_run_out_one_that_was_rejected_by_hand_is_asked_anew(tmp_path: Path) -> None:
    await Bench(tmp_path, ScriptedTeacher(good), prompts=3, limit=3).generator.run()
    store = SampleStore(tmp_path / "samples.jsonl")
    by_hand.decide(store, store.line(1), "reject")
    teacher = ScriptedTeacher(good)
    bench = Bench(tmp_path, teacher, prompts=3, limit=3)
    await bench.generator.run()
    assert [call.prompt_id for call in teacher.calls] == [bench.prompts[1].id]
    assert (bench.store.accepted, len(bench.store)) == (3, 4)
