"""Series of payments: chains of dates that lie a period apart.

Belongs here: periods with their tolerances, the best chain through some payments, and when it counts. It looks at
dates and amounts only. Payments are given in order of date, amount and id; every result depends on that order alone.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Payment(NamedTuple):
    """One enriched transaction of a holder. `counterparty` and `categories` as the API writes them."""

    id: str
    date: dt.date
    amount: float
    entry_type: str
    currency: str
    counterparty: dict[str, Any] | None
    categories: dict[str, Any]


class Period(NamedTuple):
    """How far apart: `days`, give or take `slack`; `least` payments make a series."""

    name: str
    days: float
    slack: float
    least: int
    direct: float = 0.6
    """Share of the gaps that must be one period long, with none missed."""


PERIODS = (
    # Working days only: four of five gaps are a day long.
    Period("daily", 1, 0, 5, 2 / 3),
    Period("weekly", 7, 1, 4),
    Period("bi-weekly", 14, 2, 3),
    Period("semi-monthly", 365.25 / 24, 3, 3),
    # From 26 to 35 days: February, and a weekend at either end.
    Period("monthly", 365.25 / 12, 5, 3),
    Period("bi-monthly", 365.25 / 6, 7, 3),
    Period("quarterly", 365.25 / 4, 9, 3),
    Period("semi-yearly", 365.25 / 2, 14, 3),
    Period("yearly", 365.25, 20, 3),
)
_LONG = tuple(period for period in PERIODS if period.days > 28)  # noqa: PLR2004
_STEPS = (1, 2, 3)
"""Periods from one payment to the next: up to two may be missed."""
_COVER = 0.75
"""Share of the payments that a series has to explain: enough chains go through any busy shop by chance."""
_INTERLEAVED, _COVER_TOGETHER = 3, 0.9
_FEW, _DIFFER, _FEW_DIFFER = 5, 1.1, 2.0
"""Fewer than five payments are no series if their amounts differ by more than a factor of two. If they differ at all,
they must be all there are, and keep time: three visits to one restaurant are easily a month apart."""
_CONTINUES = 1.5
"""Factor by which a price may change within a series that was found by its price."""


class Series(NamedTuple):
    """Payments a period apart, oldest first."""

    period: Period
    members: list[Payment]

    def gaps(self) -> list[int]:
        """Days between neighbours."""
        days = [one.date.toordinal() for one in self.members]
        return [later - earlier for earlier, later in pairwise(days)]


def of_about_one_amount(payments: Sequence[Payment], ratio: float) -> list[Series]:
    """Series among payments whose amounts, sorted, are no more than `ratio` apart from one to the next."""
    by_amount = sorted(payments, key=lambda one: one.amount)
    clusters: list[list[Payment]] = []
    for one in by_amount:
        if clusters and one.amount <= clusters[-1][-1].amount * ratio:
            clusters[-1].append(one)
        else:
            clusters.append([one])
    found: list[Series] = []
    for cluster in clusters:
        alike = _in_order(cluster)
        whole = of_one_period(alike)
        if whole is None:
            found += _interleaved(alike) if ratio == 1 else []
        elif _keeps_time(whole) and (ratio == 1 or len(whole.members) > whole.period.least):
            found.append(whole)
    return found


def of_one_period(payments: Sequence[Payment]) -> Series | None:
    """The one series that explains most of these payments, or None. Many payments of one day count as two."""
    by_day = Counter(one.date for one in payments)
    count = sum(min(many, 2) for many in by_day.values())
    fits = [_chain(payments, period) for period in _candidates(payments) if _reaches(payments, period, count)]
    found = [one for one in fits if one is not None and _explains(one, count)]
    return min(found, key=lambda one: (-len(one.members), _misfit(one)), default=None)


def joined(threads: list[Series]) -> list[Series]:
    """Threads that keep one beat together become one: the price has changed, or differs every time."""
    done: list[Series] = []
    for thread in sorted(threads, key=lambda one: (one.members[0].date, one.members[0].id)):
        unions = ((at, _union(earlier, thread)) for at, earlier in enumerate(done))
        at, both = next(((at, both) for at, both in unions if both), (0, None))
        if both is None:
            done.append(thread)
        else:
            done[at] = both
    return done


def with_more(threads: list[Series], rest: list[Payment]) -> list[Series]:
    """Each thread with what else of the rest falls on its beat at a price not far off."""
    done = []
    for thread in threads:
        price = median(one.amount for one in thread.members)
        near = [one for one in rest if price / _CONTINUES <= one.amount <= price * _CONTINUES]
        longer = _chain(_in_order([*thread.members, *near]), thread.period) if near else None
        kept = {one.id for one in longer.members} if longer else set()
        if longer is None or not kept.issuperset(one.id for one in thread.members):
            done.append(thread)
            continue
        done.append(longer)
        rest = [one for one in rest if one.id not in kept]
    return done


def _interleaved(payments: Sequence[Payment]) -> list[Series]:
    """Up to three series of a month or more each, which explain nearly all payments together.

    So are two contracts at one price.
    """
    found: list[Series] = []
    rest = list(payments)
    for _ in range(_INTERLEAVED):
        chains = [_chain(rest, period) for period in _LONG if _reaches(payments, period, len(payments) / _INTERLEAVED)]
        strict = [one for one in chains if one and _keeps_time(one) and len(one.members) > one.period.least]
        best = min(strict, key=lambda one: (-len(one.members), _misfit(one)), default=None)
        if best is None:
            break
        found.append(best)
        taken = {one.id for one in best.members}
        rest = [one for one in rest if one.id not in taken]
    return found if len(payments) - len(rest) >= _COVER_TOGETHER * len(payments) else []


def _candidates(payments: Sequence[Payment]) -> list[Period]:
    """The named periods, and the usual gap itself where it is none of them."""
    days = sorted({one.date.toordinal() for one in payments})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    usual = median(gaps) if gaps else 0
    if usual < 2 or any(abs(usual - period.days) <= period.slack for period in PERIODS):  # noqa: PLR2004
        return list(PERIODS)
    return [*PERIODS, Period("other", usual, usual // 10, 4, _COVER)]


def _reaches(payments: Sequence[Payment], period: Period, count: float) -> bool:
    """Whether a chain can explain so many payments at all. Spares busy shops the search."""
    if len(payments) < period.least:
        return False
    span = payments[-1].date.toordinal() - payments[0].date.toordinal()
    return span / (period.days - period.slack) + 1 >= _COVER * count


def _chain(payments: Sequence[Payment], period: Period) -> Series | None:
    """The best chain of this period, or None if it is no series."""
    days = [one.date.toordinal() for one in payments]
    value = [1.0] * len(payments)
    before = [-1] * len(payments)
    for at, day in enumerate(days):
        for steps in _STEPS:
            first = bisect_left(days, day - steps * period.days - period.slack)
            for earlier in range(first, bisect_right(days, day - steps * period.days + period.slack, first)):
                worth = value[earlier] + _worth(payments[earlier], payments[at], day - days[earlier], steps, period)
                if worth > value[at]:
                    value[at], before[at] = worth, earlier
    members: list[Payment] = []
    at = max(range(len(value)), key=value.__getitem__, default=-1)
    while at >= 0:
        members.append(payments[at])
        at = before[at]
    series = Series(period, members[::-1])
    return series if _counts(series) else None


def _worth(one: Payment, other: Payment, gap: int, steps: int, period: Period) -> float:
    """What a link adds: at most 1, less for periods missed, for days off the beat and for another amount."""
    off = abs(gap - steps * period.days) / (period.slack + 1)
    higher = max(one.amount, other.amount)
    differs = abs(one.amount - other.amount) / higher if higher else 0.0
    return 1 - 0.2 * (steps - 1) - 0.1 * off - 0.2 * differs


def _counts(series: Series) -> bool:
    period, members = series
    if len(members) < period.least:
        return False
    gaps = series.gaps()
    direct = sum(abs(gap - period.days) <= period.slack for gap in gaps)
    if direct < period.direct * len(gaps):
        return False
    amounts = [one.amount for one in members]
    return len(members) >= _FEW or max(amounts) <= _FEW_DIFFER * min(amounts)


def _keeps_time(series: Series, share: float = 1.0) -> bool:
    """Whether it keeps one beat from end to end, and does not wander as chains through chance dates do."""
    days = [one.date.toordinal() - series.members[0].date.toordinal() for one in series.members]
    steps = _steps(series)
    beat = days[-1] / steps[-1]
    off = [day - step * beat for day, step in zip(days, steps, strict=True)]
    return max(off) - min(off) <= series.period.slack * share + 1


def _explains(series: Series, count: int) -> bool:
    """Whether it is enough of so many payments."""
    amounts = [one.amount for one in series.members]
    if len(amounts) < _FEW and max(amounts) > _DIFFER * min(amounts):
        # At half the slack, and with none missed.
        return len(amounts) == count and _keeps_time(series, 0.5) and _steps(series)[-1] == count - 1
    return len(amounts) >= _COVER * count


def _steps(series: Series) -> list[int]:
    """How many periods after the first payment each of them is."""
    steps = [0]
    for gap in series.gaps():
        steps.append(steps[-1] + max(1, round(gap / series.period.days)))
    return steps


def _misfit(series: Series) -> float:
    """How far, on the whole, the gaps are from the period, in periods."""
    days = series.period.days
    return sum(min(abs(gap - steps * days) for steps in _STEPS) for gap in series.gaps()) / days


def _union(one: Series, other: Series) -> Series | None:
    """Both as one series, if no payment of either is left out."""
    if one.period.name != other.period.name:
        return None
    both = _chain(_in_order([*one.members, *other.members]), one.period)
    return both if both and len(both.members) == len(one.members) + len(other.members) else None


def _in_order(payments: Sequence[Payment]) -> list[Payment]:
    return sorted(payments, key=lambda one: (one.date, one.amount, one.id))
