"""A run whose student is tiny and whose adapter matters; and what base and adapter may have said."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hegelion_core.comparing import exchange
from hegelion_core.comparing.exchange import Question
from hegelion_core.evaluation.summary import GivenAnswer, compare
from hegelion_core.evaluation.summary import Side as EvaluationSide
from hegelion_core.settings import EvaluationSettings, Settings, TrainingSettings
from hegelion_core.worker import Job, Worker
from tests.fakes.adapters import make_adapter
from tests.fakes.tiny_model import make_tiny_model


def settings(root: Path, *, tokens: int = 12, thinking: bool = False) -> Settings:
    """Student and adapter below ``root``, made by the product's own writer."""
    student = make_tiny_model(root / "student", thinking=thinking)
    make_adapter(student, root / "adapter", layers=2, size=0.5)
    return Settings(
        training=TrainingSettings(model=str(student), adapter_path=Path("adapter")),
        evaluation=EvaluationSettings(max_new_tokens=tokens),
    )


def worker(root: Path, chosen: Settings) -> Worker:
    """The child's view of it."""
    job = Job(
        root=str(root),
        demo=False,
        run=str(root),
        reports=str(root / "reports.jsonl"),
        settings=chosen.model_dump(mode="json"),
    )
    return Worker(job)


WHOLE = (
    "<thought>\n**THESIS**: Cars give freedom.\n**ANTITHESIS**: Cars kill.\n"
    "**SYNTHESIS**: Keep cars where nothing else goes.\n</thought>\nBan most of them."
)


def lay_down(folder: Path, number: int, text: str, tokens: int = 12) -> None:
    """A question as the core lays it down."""
    question = Question(text=text, temperature=0.0, max_new_tokens=tokens, at=1.7e9)
    exchange.place(folder, number).mkdir(parents=True)
    (exchange.place(folder, number) / exchange.QUESTION).write_bytes(msgspec.json.encode(question))


def evaluation(prompts: int) -> bytes:
    """The content of an ``evaluation.json``: the base rambles, the adapter gives whole traces."""
    rambling = GivenAnswer(text="It depends. " * 20, tokens=150, cut=True, complete_trace=False)
    whole = GivenAnswer(text=WHOLE, tokens=48, cut=False, complete_trace=True)
    found = compare(
        EvaluationSide(loss_nats_per_token=2.812, answers=(rambling,) * prompts, seconds=12.3),
        EvaluationSide(loss_nats_per_token=1.934, answers=(whole,) * prompts, seconds=13.1),
        prompts=[f"Should city {number} ban cars?" for number in range(1, prompts + 1)],
        student="tiny",
        adapter_path="artifacts/adapters/hegelion_1.5b_v1",
        validation_rows=2,
        validation_tokens=512,
        max_new_tokens=150,
    )
    return msgspec.json.encode(found)
