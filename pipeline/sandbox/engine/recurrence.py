"""Recurrence: which payments of one account holder belong together.

Belongs here: `recurring_groups`, a pure function of a holder's payments, in any order. Within one counterparty,
direction and currency it looks for series: chains of payments a period apart, where a period may be missed twice in a
row. Payments of about one amount are tried first, so that two subscriptions of one shop are two groups; a price that
changes joins the series before and after; at last all amounts together, since a bill may differ every month.
What fits no series is a one-off. The shape of a group: fact sheet, section 4.1. Tolerances and least counts are ours.
"""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from pipeline.sandbox.engine.series import Payment, Series, joined, of_about_one_amount, of_one_period, with_more

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALIKE = (1.0, 1.1, 1.5)
"""Amounts count as one price when each is at most so many times the next smaller: the same, then nearly, then alike."""
_CLEARLY_MORE = 1.25
_NAMESPACE = uuid.uuid3(uuid.NAMESPACE_DNS, "recurrence.sandbox")


def recurring_groups(payments: Iterable[Payment]) -> list[dict[str, Any]]:
    """RecurrenceGroup objects, the one that went on longest first. Ids of the payments must differ.

    A payment is in one group at most; one without a counterparty is in none.
    """
    parties: dict[tuple[str, str, str], list[Payment]] = {}
    for one in payments:
        if one.counterparty is not None:
            parties.setdefault((one.counterparty["id"], one.entry_type, one.currency), []).append(one)
    groups = [_shape(found) for several in parties.values() for found in _series(several)]
    return sorted(groups, key=lambda group: (group["end_date"], group["id"]), reverse=True)


def _series(payments: list[Payment]) -> list[Series]:
    """The series of one counterparty: by price, unless all prices together explain more of its payments."""
    payments = sorted(payments, key=lambda one: (one.date, one.amount, one.id))
    threads: list[Series] = []
    rest = payments
    for ratio in _ALIKE:
        threads += of_about_one_amount(rest, ratio)
        taken = {one.id for thread in threads for one in thread.members}
        rest = [one for one in payments if one.id not in taken]
    threads = with_more(joined(threads), rest)
    whole = of_one_period(payments)
    if whole is None:
        return threads
    explained = sum(len(thread.members) for thread in threads)
    needed = explained * _CLEARLY_MORE if len(threads) > 1 else explained
    return [whole] if len(whole.members) > needed else threads


def _shape(series: Series) -> dict[str, Any]:
    members = series.members
    first, last = members[0], members[-1]
    amounts = [one.amount for one in members]
    # Infinity would be written as null: a total beyond every float is the largest of them. `mean` counts in fractions.
    total = min(sum(amounts), sys.float_info.max)
    average = total / len(amounts) if total < sys.float_info.max else mean(amounts)
    # The first payment stays the first while a history grows, and so the id stays.
    named = "|".join(((first.counterparty or {})["id"], first.entry_type, first.currency, first.id))
    return {
        "id": str(uuid.uuid3(_NAMESPACE, named)),
        "start_date": first.date,
        "end_date": last.date,
        "total_amount": round(total, 2),
        "average_amount": round(average, 2),
        "periodicity_in_days": float(median(series.gaps())),
        "periodicity": series.period.name,
        "counterparty": last.counterparty,
        "categories": _usual(members),
        "transaction_ids": [one.id for one in members],
        "entry_type": first.entry_type,
    }


def _usual(members: list[Payment]) -> dict[str, Any]:
    """The categories that most members have, of two alike those of the later payment."""
    counts = Counter(one.categories["general"] for one in members)
    usual: Payment = max(reversed(members), key=lambda one: counts[one.categories["general"]])
    return dict(usual.categories)
