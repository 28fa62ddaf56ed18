"""Which law a training's settings ask for. Pure."""

from __future__ import annotations

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.scu.controller import Law
from hegelion_core.training.scu.decoupled import DecoupledLaw
from hegelion_core.training.scu.measures import Prior
from hegelion_core.training.scu.published import PublishedLaw


def choose_law(settings: TrainingSettings, prior: Prior) -> Law:
    """The law of these settings."""
    law = PublishedLaw if settings.scu_law == "published" else DecoupledLaw
    return law(prior, settings.target_s, settings.kp, settings.ki, settings.lambda_init)
