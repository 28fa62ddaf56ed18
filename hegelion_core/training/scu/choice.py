"""Which law a training's settings ask for. Pure."""

from __future__ import annotations

from hegelion_core.settings import TrainingSettings
from hegelion_core.training.scu.controller import Law
from hegelion_core.training.scu.decoupled import DecoupledLaw
from hegelion_core.training.scu.measures import Prior
from hegelion_core.training.scu.published import PublishedLaw


def choose_law(settings: TrainingSettings, prior: Prior) -> Law:
    """The law of these settings."""
    gains = (prior, settings.target_s, settings.kp, settings.ki, settings.lambda_init)
    if settings.scu_law == "published":
        return PublishedLaw(*gains)
    return DecoupledLaw(*gains, update_every=settings.scu_update_freq)
