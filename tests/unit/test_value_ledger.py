from random import Random

import pytest

from streams.core.value import DEVOTEE, value
from streams.core.value_fit import FitError
from streams.core.value_ledger import PurchaseDay, fit_ledger
from tests.unit.health_steps import START, end_of, part_of, step

TODAY = START + 300


def ledger() -> list[PurchaseDay]:
    rng = Random(2)
    days = []
    for number in range(120):
        first, rate, basket = rng.randrange(100), rng.gammavariate(1, 0.03), rng.gammavariate(4, 30)
        moments = [first]
        while moments[-1] < 300 and rng.random() > 0.1:
            moments.append(moments[-1] + 1 + int(rng.expovariate(rate)))
        days += [
            PurchaseDay(
                f"C{number}",
                START + moment,
                "USD" if number % 8 else "EUR",
                1,
                round(100 * basket * rng.uniform(0.7, 1.3)),
            )
            for moment in moments
        ]
    return days


def test_the_best_fifth_is_high_value_and_the_stream_agrees() -> None:
    model, fitted, spends = fit_ledger(ledger(), TODAY)
    assert fitted.customers == 120
    assert set(spends) == set(model.spend) <= {"USD", "EUR"}
    reached = []
    for customer in {day.customer for day in ledger()}:
        steps = [
            step(day.day - START, "order:placed", amount=day.net, currency=day.currency)
            for day in ledger()
            if day.customer == customer
        ]
        worth = value(part_of(steps), end_of(300), model)
        if worth is not None and worth.currency == "USD":
            reached.append(worth.clv >= model.spend["USD"].high)
            assert worth.segment != DEVOTEE or reached[-1]
    assert sum(reached) / len(reached) == pytest.approx(0.2, abs=0.02)


def test_what_comes_after_today_is_not_fitted() -> None:
    rows = ledger()
    later = [PurchaseDay("C119", TODAY + 9, "USD", 1, 10**9)]
    assert fit_ledger([*rows, *later], TODAY) == fit_ledger(rows, TODAY)


def test_refunds_lower_the_mean_and_days_of_refunds_are_no_purchases() -> None:
    rows = ledger()
    refund = PurchaseDay("C119", TODAY, rows[-1].currency, 0, -50)
    bare, fitted, _ = fit_ledger([*rows, refund], TODAY)
    assert fitted.parameters == fit_ledger(rows, TODAY)[1].parameters
    assert bare.unit_days == 7


def test_too_few_customers_are_refused() -> None:
    with pytest.raises(FitError):
        fit_ledger(ledger()[:5], TODAY)
