"""Confidence intervals by the Poisson bootstrap over sessions, mergeable and the same in every run.

A session is drawn again as a whole, since its predictions are not independent. In each replicate it counts w times,
w from the Poisson distribution of mean 1, which needs no knowledge of the other sessions: so batches and workers may
count on their own (Chamandy, Muralidharan, Najmi & Naidu 2012, "Estimating uncertainty for massive data streams").
A session's weights follow from its id and the seed alone. Rankers are weighted alike: differences are paired.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

REPLICATES = 1000
# Of fewer sessions an interval says nothing.
MIN_SESSIONS = 30
_LEVELS = (0.025, 0.975)

# Bounds of the cumulative Poisson distribution: w is how many of them a uniform number reaches. Beyond 10 lie 1e-8.
_CUMULATIVE = np.cumsum([math.exp(-1) / math.factorial(w) for w in range(11)])
MAX_WEIGHT = len(_CUMULATIVE)


def fingerprint(session_id: bytes, seed: int) -> int:
    """64 bits that stand for a session, equally distributed, other ones for another seed."""
    return int.from_bytes(hashlib.blake2b(session_id, digest_size=8, salt=seed.to_bytes(16, "big")).digest(), "big")


def weights(fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """How often each session counts in each replicate: uint64 [sessions] → uint8 [REPLICATES, sessions]."""
    replicate = _mixed(np.arange(1, REPLICATES + 1, dtype=np.uint64))
    bits = _mixed(replicate[:, None] ^ fingerprints[None, :])  # [replicates, sessions] uint64
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(_CUMULATIVE, uniform.ravel(), side="right").reshape(uniform.shape).astype(np.uint8)


def interval(replicates: npt.NDArray[Any]) -> tuple[float, float]:
    """The middle 95 % of a statistic's replicates, float [REPLICATES]."""
    low, high = np.quantile(replicates, _LEVELS)
    return float(low), float(high)


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each 64-bit number to another one, so that near ones end far apart (the finaliser of SplitMix64, Steele 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
