"""Which payments belong together: whole histories in, groups out."""

from __future__ import annotations

import datetime as dt
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sandbox.engine.recurrence import recurring_groups
from pipeline.sandbox.engine.series import Payment

NETFLIX = {"id": "n", "name": "Netflix", "website": "netflix.com"}
CATEGORIES = {"general": "digital content and streaming", "accounting": None}


def pay(identity, day, amount=17.99, party=NETFLIX, direction="outgoing", currency="USD", categories=CATEGORIES):
    date = dt.date.fromisoformat(day) if isinstance(day, str) else day
    return Payment(identity, date, amount, direction, currency, party, categories)


def months(prefix, day, amounts, start=(2023, 1), every=1, **more):
    """One payment every so many months; an amount of None is a month without."""
    made = []
    for at, amount in enumerate(amounts):
        month = start[1] - 1 + at * every
        date = dt.date(start[0] + month // 12, month % 12 + 1, min(day, 28))
        if amount is not None:
            made.append(pay(f"{prefix}{at}", date, amount, **more))
    return made


def days(prefix, gaps, amount=20.0, start=dt.date(2024, 1, 1), **more):
    made, date = [], start
    for at, gap in enumerate([0, *gaps]):
        date += dt.timedelta(gap)
        made.append(pay(f"{prefix}{at}", date, amount, **more))
    return made


def found(payments):
    """Periodicity and sorted ids of each group, in the order of the ids."""
    return sorted((one["periodicity"], sorted(one["transaction_ids"])) for one in recurring_groups(payments))


def ids(payments):
    return sorted(one.id for one in payments)


def test_a_group_has_every_field_of_the_fact_sheet():
    (group,) = recurring_groups(months("t", 5, [17.99] * 4))
    assert group.pop("id")
    assert group == {
        "start_date": dt.date(2023, 1, 5),
        "end_date": dt.date(2023, 4, 5),
        "total_amount": 71.96,
        "average_amount": 17.99,
        "periodicity_in_days": 31.0,
        "periodicity": "monthly",
        "counterparty": NETFLIX,
        "categories": CATEGORIES,
        "transaction_ids": ["t0", "t1", "t2", "t3"],
        "entry_type": "outgoing",
    }


@pytest.mark.parametrize(
    ("periodicity", "history"),
    [
        ("daily", days("t", [1, 1, 1, 1, 3, 1, 1, 1, 1, 3])),
        ("weekly", days("t", [7, 7, 8, 6, 7])),
        ("bi-weekly", days("t", [14] * 6)),
        ("bi-weekly", days("t", [14, 14, 28, 14])),
        ("monthly", days("t", [28, 31, 30, 33, 28])),
        ("monthly", days("t", [28] * 5)),
        ("bi-monthly", months("t", 1, [9.0] * 5, every=2)),
        ("quarterly", months("t", 31, [9.0] * 4, every=3)),
        ("semi-yearly", months("t", 15, [9.0] * 3, every=6)),
        ("yearly", months("t", 15, [99.0] * 3, every=12, start=(2021, 2))),
        ("other", days("t", [10] * 6)),
        ("other", days("t", [45, 44, 46, 45])),
    ],
)
def test_each_period_has_its_name(periodicity, history):
    assert found(history) == [(periodicity, ids(history))]


def test_pay_on_the_first_and_the_fifteenth_is_semi_monthly():
    history = [*months("a", 1, [2000.0] * 6), *months("b", 15, [2000.0] * 6)]
    assert found(history) == [("semi-monthly", ids(history))]
    (group,) = recurring_groups(history)
    assert group["periodicity_in_days"] == pytest.approx(14, abs=3)


def test_missed_months_break_nothing():
    history = months("t", 3, [9.99, 9.99, None, 9.99, 9.99, None, None, 9.99, 9.99, 9.99])
    assert found(history) == [("monthly", ids(history))]
    (group,) = recurring_groups(history)
    assert group["periodicity_in_days"] == 31


def test_a_bill_may_differ_every_month():
    history = months("t", 12, [80.1, 122.4, 95.0, 61.2, 70.0, 188.8, 143.9, 66.5])
    assert found(history) == [("monthly", ids(history))]


def test_a_price_that_changes_stays_one_group():
    history = months("t", 12, [9.99] * 5 + [12.99] * 5 + [19.99])
    assert found(history) == [("monthly", ids(history))]


def test_one_offs_stay_out():
    history = months("t", 12, [17.99] * 6)
    gift, same_day = pay("gift", "2023-03-25", 50.0), pay("same day", "2023-05-12", 50.0)
    assert found([*history, gift, same_day]) == [("monthly", ids(history))]


def test_one_offs_of_one_day_at_the_same_price_stay_out():
    history = months("t", 1, [17.99] * 5)
    twins = [pay("u1", "2023-05-01"), pay("u2", "2023-05-01"), pay("u3", "2023-05-01")]
    ((periodicity, members),) = found([*history, *twins])
    assert (periodicity, len(members)) == ("monthly", 5)


def test_a_subscription_shows_among_many_purchases():
    chance = random.Random(3)
    bought = [
        pay(f"b{at}", dt.date(2023, 1, 1) + dt.timedelta(chance.randrange(360)), round(chance.uniform(3, 200), 2))
        for at in range(120)
    ]
    prime = months("prime", 9, [8.99] * 12)
    assert ("monthly", ids(prime)) in found([*bought, *prime])


def test_two_subscriptions_of_one_shop_are_two_groups():
    small, large = months("s", 1, [0.99] * 8), months("l", 15, [9.99] * 6 + [10.99] * 2)
    assert found([*small, *large]) == sorted([("monthly", ids(small)), ("monthly", ids(large))])


def test_two_contracts_at_one_price_are_two_groups():
    one, other = months("a", 3, [30.0] * 8), months("b", 10, [30.0] * 8)
    assert found([*one, *other]) == [("monthly", ids(one)), ("monthly", ids(other))]


def test_a_year_and_a_month_of_one_counterparty_are_two_groups():
    monthly, yearly = months("m", 4, [12.0] * 25), months("y", 20, [120.0] * 3, every=12)
    assert found([*monthly, *yearly]) == [("monthly", ids(monthly)), ("yearly", ids(yearly))]


def test_directions_currencies_and_counterparties_are_kept_apart():
    other = {**NETFLIX, "id": "other"}
    parts = [
        months("a", 1, [10.0] * 4),
        months("b", 1, [10.0] * 4, direction="incoming"),
        months("c", 1, [10.0] * 4, currency="EUR"),
        months("d", 1, [10.0] * 4, party=other),
    ]
    assert found([one for part in parts for one in part]) == sorted(("monthly", ids(part)) for part in parts)


def test_no_counterparty_no_group():
    assert recurring_groups(months("t", 1, [10.0] * 6, party=None)) == []


@pytest.mark.parametrize("history", [[], days("t", []), days("t", [30]), days("t", [7, 7]), days("t", [3, 50, 11, 94])])
def test_too_few_or_too_odd_is_no_group(history):
    assert recurring_groups(history) == []


def test_three_payments_of_very_different_amounts_are_chance():
    assert recurring_groups(months("t", 1, [4.0, 90.0, 31.0])) == []


def test_few_payments_that_differ_must_keep_time():
    """Three visits to a restaurant are no subscription, three bills of an energy supplier are."""
    bills = [pay("a", "2024-01-05", 80.0), pay("b", "2024-02-05", 95.0), pay("c", "2024-03-06", 110.0)]
    assert found(bills) == [("monthly", ["a", "b", "c"])]
    assert recurring_groups([*bills, pay("d", "2024-03-19", 100.0)]) == []
    visits = [pay("a", "2024-01-05", 20.0), pay("b", "2024-02-01", 31.0), pay("c", "2024-03-07", 26.0)]
    assert recurring_groups(visits) == []


def test_irregular_shopping_is_no_group():
    chance = random.Random(11)
    groups = 0
    for shop in range(60):
        dates = sorted(chance.sample(range(365), 40))
        history = [
            pay(f"{shop}-{at}", dt.date(2023, 1, 1) + dt.timedelta(day), round(chance.uniform(4, 120), 2))
            for at, day in enumerate(dates)
        ]
        groups += len(recurring_groups(history))
    assert groups <= 6


def test_the_group_keeps_its_id_while_the_history_grows():
    history = months("t", 12, [17.99] * 12)
    identities = {recurring_groups(history[:count])[0]["id"] for count in range(4, 13)}
    assert len(identities) == 1


def test_the_category_is_the_usual_one():
    refund = {"general": "other", "accounting": None}
    history = months("t", 12, [17.99] * 5)
    history[4] = history[4]._replace(categories=refund)
    assert recurring_groups(history)[0]["categories"] == CATEGORIES


def test_a_busy_shop_is_searched_quickly():
    chance = random.Random(5)
    history = [
        pay(f"t{at}", dt.date(2020, 1, 1) + dt.timedelta(chance.randrange(1500)), chance.choice([2.5, 3.0, 7.2]))
        for at in range(20_000)
    ]
    began = time.process_time()
    recurring_groups(history)
    assert time.process_time() - began < 5


_PAYMENTS = st.lists(
    st.builds(
        pay,
        st.uuids().map(str),
        st.dates(dt.date(2022, 1, 1), dt.date(2024, 12, 31)),
        st.sampled_from([0.0, 1.0, 9.99, 10.99, 50.0, 75.5]),
        st.sampled_from([NETFLIX, {**NETFLIX, "id": "other"}, None]),
        st.sampled_from(["incoming", "outgoing"]),
    ),
    max_size=60,
    unique_by=lambda one: one.id,
)
_SERIES = st.builds(
    days,
    st.uuids().map(str),
    st.lists(st.sampled_from([7, 14, 30, 31, 61]), min_size=3, max_size=20),
    st.sampled_from([1.0, 9.99, 10.99]),
)


@settings(max_examples=150, deadline=None)
@given(_PAYMENTS, st.lists(_SERIES, max_size=3), st.randoms(use_true_random=False))
def test_what_holds_of_any_history(noise, several, chance):
    history = [*noise, *(one for series in several for one in series)]
    by_id = {one.id: one for one in history}
    groups = recurring_groups(history)
    grouped = [identity for group in groups for identity in group["transaction_ids"]]
    assert len(grouped) == len(set(grouped)), "in one group at most"
    assert len({group["id"] for group in groups}) == len(groups)
    for group in groups:
        members = [by_id[identity] for identity in group["transaction_ids"]]
        assert len({(one.counterparty["id"], one.entry_type, one.currency) for one in members}) == 1
        assert group["counterparty"] == members[0].counterparty
        dates = [one.date for one in members]
        assert dates == sorted(dates)
        assert len(set(dates)) == len(dates) >= 3
        assert (group["start_date"], group["end_date"]) == (dates[0], dates[-1])
        assert group["total_amount"] == pytest.approx(sum(one.amount for one in members))
        assert group["periodicity_in_days"] > 0
    shuffled = history[:]
    chance.shuffle(shuffled)
    assert recurring_groups(shuffled) == groups
