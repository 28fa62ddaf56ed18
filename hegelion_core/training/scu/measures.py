"""What the Shannon Control Unit measures: bits of the data, bits of the weights, and the share S. Pure.

A training's cost, in nats per token, is ``CE + λ · Σ(w - w_ref)² / (2σ²N)``: the data given the weights, and the
weights under a Gaussian prior around w_ref. ``S`` is the share of the second in both (with λ = 1, in bits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Prior:
    """The Gaussian around the reference, spread over an epoch's tokens."""

    sigma: float
    """Standard deviation of each weight."""
    tokens_per_epoch: int
    """N: supervised tokens of an epoch, over which the weights' cost is spread."""

    @property
    def stiffness(self) -> float:
        """``1 / (σ²N)``: what the cost's gradient is per unit of distance, in nats per token."""
        return 1 / (self.sigma**2 * self.tokens_per_epoch)


@dataclass(frozen=True)
class Measured:
    """What one optimizer step showed."""

    data_bpt: float
    """Of its batch, before the step."""
    param_bpt: float
    """Of the weights, after the step."""
    tokens: int
    """Supervised tokens of the batch."""

    @property
    def s(self) -> float:
        """The share S of this step alone."""
        return share(self.data_bpt, self.param_bpt)


def bits(nats: float) -> float:
    """DataBPT, bits per token, of a cross-entropy in nats per token: ``CE / ln 2``."""
    return nats / math.log(2)


def param_bpt(sum_sq: float, prior: Prior) -> float:
    """ParamBPT, bits per token: ``Σ(w - w_ref)² / (2σ²N ln 2)``; ``sum_sq`` is the sum, over the LoRA weights."""
    return bits(0.5 * sum_sq * prior.stiffness)


def sum_of_squares(bits_per_token: float, prior: Prior) -> float:
    """The Σ(w - w_ref)² that costs so much: the inverse of ``param_bpt``."""
    return 2 * bits_per_token * math.log(2) / prior.stiffness


def share(data_bpt: float, param_bpt: float) -> float:
    """S: ``ParamBPT / (DataBPT + ParamBPT)``, 0 to 1; 0 where both are 0."""
    total = data_bpt + param_bpt
    return param_bpt / total if total > 0 else 0.0
