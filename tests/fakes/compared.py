"""A run whose student is tiny and whose adapter matters."""

from __future__ import annotations

from pathlib import Path

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
