"""Timing two things side by side: blocks in ABBA order, medians, and a bootstrap interval of their ratio."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

ROUNDS = 8
BOOTSTRAPS = 1_000


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: ours against the limit; `better` says which way is good."""

    id: str
    ratio: float
    interval: tuple[float, float]
    ours: float
    limit: float
    unit: str
    objects: int
    target: str = ""
    note: str = ""

    def row(self) -> dict[str, Any]:
        """Return the figure as results.json holds it."""
        return {name: value for name, value in asdict(self).items() if value != ""}


@dataclass(frozen=True, slots=True)
class Pair:
    """Measurements of ours and of the limit, taken alternately."""

    ours: list[float]
    limit: list[float]


def interleaved(
    ours: Callable[[], Sequence[float]], limit: Callable[[], Sequence[float]], rounds: int = ROUNDS
) -> Pair:
    """Run both in ABBA order, after one unmeasured round each; every call returns its measurements."""
    ours()
    limit()
    pair = Pair([], [])
    for number in range(rounds):
        for first in (True, False) if number % 2 == 0 else (False, True):
            (pair.ours if first else pair.limit).extend(ours() if first else limit())
    return pair


def timed(action: Callable[[], Any]) -> float:
    """Return the milliseconds an action takes."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return statistics.median(values)


def ratio_interval(pair: Pair, statistic: Callable[[Sequence[float]], float]) -> tuple[float, tuple[float, float]]:
    """Return ours over limit, and the interval that holds 95 % of the bootstrapped ratios."""
    chosen = random.Random(0)
    ratios = sorted(
        statistic(chosen.choices(pair.ours, k=len(pair.ours)))
        / statistic(chosen.choices(pair.limit, k=len(pair.limit)))
        for _ in range(BOOTSTRAPS)
    )
    low, high = ratios[int(0.025 * BOOTSTRAPS)], ratios[int(0.975 * BOOTSTRAPS)]
    return statistic(pair.ours) / statistic(pair.limit), (low, high)


def once(
    name: str, ours: float, limit: float, *, unit: str, objects: int, note: str, target: str = "<= 1.00"
) -> Figure:
    """Return the figure that one measurement against a fixed limit gives; it has no interval."""
    ratio = round(ours / limit, 4)
    return Figure(name, ratio, (ratio, ratio), round(ours, 2), limit, unit, objects, target, note)


def figure(
    name: str,
    pair: Pair,
    statistic: Callable[[Sequence[float]], float],
    *,
    unit: str,
    objects: int,
    target: str = "",
    note: str = "",
) -> Figure:
    """Return the figure that a pair of measurements gives."""
    ratio, (low, high) = ratio_interval(pair, statistic)
    return Figure(
        id=name,
        ratio=round(ratio, 4),
        interval=(round(low, 4), round(high, 4)),
        ours=round(statistic(pair.ours), 4),
        limit=round(statistic(pair.limit), 4),
        unit=unit,
        objects=objects,
        target=target,
        note=note,
    )
