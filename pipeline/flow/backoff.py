"""How long to wait before another try. Pure."""

from __future__ import annotations

import random


def backoff(base: float, attempt: int, maximum: float, *, rng: random.Random | None = None) -> float:
    """Seconds to wait after `attempt` (from 1): doubling, capped, with jitter between one half and the whole."""
    whole = min(maximum, base * 2 ** (attempt - 1))
    return float(whole * (rng or random.Random()).uniform(0.5, 1))
