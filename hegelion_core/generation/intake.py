"""What becomes of a call: its answer goes to the sample contract and is kept, accepted or not; so is a failure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hegelion_core import events
from hegelion_core.dialectic.contract import make_sample
from hegelion_core.dialectic.judge import NO_SCORE
from hegelion_core.dialectic.parsing import SampleFault
from hegelion_core.dialectic.prompts import STUDENT_SYSTEM
from hegelion_core.event_log import EventLog
from hegelion_core.generation.breaker import Failure
from hegelion_core.generation.dialogue import REASONS, SCORE
from hegelion_core.generation.instance_log import Write
from hegelion_core.generation.ledger import Ledger
from hegelion_core.generation.store import Kind, Rejected, SampleStore
from hegelion_core.teachers.teacher import Answer, Call, TeacherFault, TeacherInfo

SURPLUS = "surplus"
"""A good answer that came when it was not needed any more."""

WORTH_KEEPING = 200
"""Characters of an interrupted call's output; less is a program's greeting."""


@dataclass(frozen=True)
class Intake:
    """Keeps what calls gave, durably, and tells of it."""

    store: SampleStore
    ledger: Ledger
    log: EventLog
    teacher: TeacherInfo
    target: int
    provenance: dict[str, object]
    """What every sample's metadata says of how it was made."""
    min_score: float = 0.0
    """The least score that a judge must have given."""

    def answered(self, call: Call, answer: Answer, write: Write, *, salvaged: bool = False) -> Failure | None:
        """Hand an answer to the contract and keep it; what was wrong with it, or ``None`` for a good one."""
        try:
            sample = make_sample(
                call.query,
                answer,
                prompt_id=call.prompt_id,
                system=STUDENT_SYSTEM,
                metadata=self._provenance(call),
            )
            self._check_score(answer)
        except SampleFault as fault:
            self._rejected(call, answer, fault.reason, fault.detail, write)
            if (
                call.correction is None and fault.reason != NO_SCORE
            ):  # one re-ask names the fault; what it did not help is asked anew, later
                self.ledger.correct(call.prompt_id, fault.detail)
            self._count(call, fault.reason)
            return Failure(f"rejected ({fault.reason})", fault.detail, "Look at the rejected file for whole answers.")
        outcome = self.store.append(sample, self.target)
        if outcome != "accepted":
            detail = f"The sample is good, but not needed any more ({outcome})."
            self._rejected(call, answer, SURPLUS, detail, write)
            return None
        self.log.publish(
            events.SampleAccepted(
                instance=call.instance,
                prompt_id=call.prompt_id,
                sample_id=sample.id,
                accepted=self.store.accepted,
                seconds=answer.seconds,
                tokens=answer.completion_tokens,
                prompt_tokens=answer.prompt_tokens,
                salvaged=salvaged,
            )
        )
        write(f"accepted: {self.store.accepted} of {self.target}")
        return None

    def _check_score(self, answer: Answer) -> None:
        """Raises ``SampleFault`` if the judge's score is under the least one, or is not there."""
        if not self.min_score:
            return
        score = answer.metadata.get(SCORE)
        if not isinstance(score, int | float):
            raise SampleFault(NO_SCORE, "No score could be had of the judge.")
        if score < self.min_score:
            said = f" {answer.metadata.get(REASONS, '')}".rstrip()
            raise SampleFault("low_score", f"A judge gave it {score:g} of 10, not {self.min_score:g}.{said}")

    def failed(self, call: Call, fault: TeacherFault, said: str, write: Write, *, counts: bool) -> None:
        """Keep a call that gave no answer, with what the teacher had said so far.

        Args:
            call: the call.
            fault: how it failed.
            said: the teacher's raw output.
            write: the instance's log.
            counts: whether it counts against the prompt. What the service is to blame for does not.
        """
        self._keep(call, "failed", fault.kind, fault.message, said)
        self.log.publish(
            events.RequestFailed(
                instance=call.instance,
                prompt_id=call.prompt_id,
                kind=fault.kind,
                message=fault.message,
                retry_in=fault.retry_after,
                counted=counts,
            )
        )
        write(f"failed ({fault.kind}): {fault.message}")
        if counts:
            self._count(call, fault.kind, last=fault.kind in ("filtered", "tool_use"))

    def cut_off(self, call: Call, said: str) -> None:
        """Keep what a call had said that was in flight when the core died."""
        if len(said) >= WORTH_KEEPING:
            self._keep(call, "failed", "interrupted", "The core ended while this was being written.", said)

    def stopped(self, call: Call, said: str, write: Write) -> None:
        """Keep what a call had said whose instance a person stopped. Nothing counts against its prompt."""
        why = "A person stopped this generator."
        if len(said) >= WORTH_KEEPING:
            self._keep(call, "failed", "stopped", why, said)
        self.log.publish(
            events.RequestFailed(
                instance=call.instance, prompt_id=call.prompt_id, kind="stopped", message=why, counted=False
            )
        )
        write("stopped by a person")

    def _rejected(self, call: Call, answer: Answer, reason: str, detail: str, write: Write) -> None:
        self._keep(call, "rejected", reason, detail, answer.text)
        self.log.publish(
            events.SampleRejected(
                instance=call.instance,
                prompt_id=call.prompt_id,
                reason=reason,
                detail=detail,
                tokens=answer.completion_tokens,
                prompt_tokens=answer.prompt_tokens,
            )
        )
        write(f"rejected ({reason}): {detail}")

    def _count(self, call: Call, reason: str, *, last: bool = False) -> None:
        if reasons := self.ledger.count_attempt(call.prompt_id, reason, last=last):
            self.log.publish(events.PromptSetAside(prompt_id=call.prompt_id, reasons=reasons))

    def _keep(self, call: Call, kind: Kind, reason: str, detail: str, text: str) -> None:
        self.store.reject(
            Rejected(
                at=time.time(),
                prompt_id=call.prompt_id,
                query=call.query,
                kind=kind,
                reason=reason,
                detail=detail,
                attempt=call.attempt,
                text=text,
                teacher=self.teacher.name,
                call_id=call.call_id,
            )
        )

    def _provenance(self, call: Call) -> dict[str, object]:
        prompt = self.ledger.prompt(call.prompt_id)
        return {
            "prompt_id": call.prompt_id,
            "source": prompt.source if prompt else "",
            "row": prompt.row if prompt else 0,
            "teacher": self.teacher.name,
            "teacher_version": self.teacher.version,
            "teacher_model": self.teacher.model,
            **self.provenance,
            "attempts": call.attempt,
            "call": call.call_id,
            "created": time.time(),
        }
