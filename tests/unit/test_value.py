import pytest

from schemas.outcome import JourneyStep
from schemas.state import PartUpdate
from streams.core.journey import CustomerState
from streams.core.policy import Policy, SpendModel, ValueModel
from streams.core.stitch import evaluate
from streams.core.value import (
    AT_RISK,
    DEVOTEE,
    LOST,
    PROMISING,
    balance,
    expected_spend,
    hyp2f1,
    outlook,
    purchases,
    segment_of,
    value,
)
from tests.unit.health_steps import end_of, health_on, part_of, step

# Fitted on CDNOW by lifetimes 0.11.3, whose own answers are the expected ones below.
LIFETIMES = (0.24259292827982148, 4.413532265271809, 0.7928859664406578, 2.4257523826257374)
MODEL = ValueModel(spend={"USD": SpendModel(6.25, 3.74, 1544.0, 50_000.0)})


@pytest.mark.parametrize(
    ("x", "t_x", "age", "alive", "in_39_weeks", "in_520_weeks"),
    [
        (2, 30.43, 38.86, 0.7266091367990596, 1.2259104241744068, 7.319496851793752),
        (0, 0.0, 38.86, 1.0, 0.19478085793947836, 1.4624052122519533),
        (10, 20.0, 38.0, 0.047909578499776506, 0.35436596680183824, 1.8368859832918818),
        (25, 30.0, 39.0, 0.08643373471691752, 1.5184471549142475, 7.6769651751118815),
    ],
)
def test_outlook_is_what_lifetimes_says(
    x: int, t_x: float, age: float, alive: float, in_39_weeks: float, in_520_weeks: float
) -> None:
    assert outlook(*LIFETIMES, x, t_x, age, 39.0) == pytest.approx((alive, in_39_weeks), rel=1e-7)
    assert outlook(*LIFETIMES, x, t_x, age, 520.0)[1] == pytest.approx(in_520_weeks, rel=1e-7)


def test_the_formula_holds_where_a_is_one() -> None:
    r, alpha, _, b = LIFETIMES
    beside = [outlook(r, alpha, a, b, 3, 20.0, 30.0, 52.0)[1] for a in (0.998, 1.0, 1.002)]
    assert beside[1] == pytest.approx((beside[0] + beside[2]) / 2, rel=1e-3)


def test_gauss_series_near_one_and_in_closed_form() -> None:
    assert hyp2f1(1.0, 1.0, 2.0, 0.5) == pytest.approx(2 * 0.6931471805599453)  # −ln(1 − z)/z
    assert hyp2f1(1.0, 1.0, 2.0, 0.95) == pytest.approx(2.995732273553991 / 0.95)


@pytest.mark.parametrize(("x", "mean", "expected"), [(2, 22.35, 24.65862), (10, 80.0, 78.11387)])
def test_expected_spend_is_what_lifetimes_says(x: int, mean: float, expected: float) -> None:
    model = SpendModel(6.24880249607099, 3.7445884609237634, 15.447748064943575, 0.0)
    assert expected_spend(model, x, mean) == pytest.approx(expected, rel=1e-6)


def bought(*days: float, amount: int = 5_000) -> list[JourneyStep]:
    return [step(day, "order:placed", order=f"O{day}", amount=amount) for day in days]


def test_purchases_are_days_with_orders_and_spend_is_net() -> None:
    steps = [
        *bought(0, 0.2, 10, 30),
        step(12, "order:refunded", amount=1_000),
        step(40, "order:placed", amount=900, currency="EUR"),
        step(99, "order:placed", amount=900),
        step(5, "web:referral"),
    ]
    seen = purchases(part_of(steps), end_of(50))
    assert (seen.days, seen.repeats, seen.recency, seen.age) == (4, 3, 40, 50)
    assert seen.spend == {"USD": 19_000, "EUR": 900}
    assert seen.later == {"USD": 9_000, "EUR": 900}
    assert seen.referrals == 1


def test_who_only_refers_others_is_promising() -> None:
    worth = value(part_of([step(3, "store:referral"), step(9, "app:referral")]), end_of(5), MODEL)
    assert worth is not None
    assert (worth.purchases.days, worth.purchases.referrals, worth.segment) == (0, 1, PROMISING)
    assert (worth.clv, worth.currency) == (0, "")
    assert balance(health_on([], 5), worth, MODEL).gives == 20


def test_who_has_given_nothing_has_no_value() -> None:
    assert value(part_of([step(0, "web:page_view")]), end_of(9), MODEL) is None


@pytest.mark.parametrize(
    ("days", "amount", "now", "segment"),
    [
        ([*range(0, 350, 20)], 40_000, 350, DEVOTEE),
        ([*range(0, 350, 20)], 40, 350, PROMISING),
        ([0], 5_000, 20, PROMISING),
        ([0], 5_000, 200, AT_RISK),
        ([0], 5_000, 400, LOST),
        ([*range(0, 140, 20)], 40_000, 210, AT_RISK),
        ([*range(0, 140, 20)], 40_000, 600, LOST),
    ],
)
def test_segments(days: list[int], amount: int, now: int, segment: str) -> None:
    worth = value(part_of(bought(*days, amount=amount)), end_of(now), MODEL)
    assert worth is not None
    assert worth.segment == segment


def test_red_health_puts_the_worthy_at_risk() -> None:
    worth = value(part_of(bought(*range(0, 350, 20), amount=40_000)), end_of(350), MODEL)
    assert segment_of(worth, "green") == DEVOTEE
    assert segment_of(worth, "red") == AT_RISK
    assert segment_of(None, "red") == ""


def test_clv_is_expected_purchases_times_expected_spend_discounted() -> None:
    worth = value(part_of(bought(0, 70, 140)), end_of(150), MODEL)
    assert worth is not None
    spend = expected_spend(MODEL.spend["USD"], 2, 5_000.0)
    assert worth.clv == pytest.approx(worth.expected / 1000 * spend / 1.1**0.5, rel=1e-3)
    assert (worth.currency, worth.tenure) == ("USD", 150)


def test_balance_sets_what_they_get_beside_what_they_give() -> None:
    paid = bought(0, 30, 60, amount=50_000)
    failed = [step(d, "call_center:call", wait_seconds=1800, resolved=False) for d in (61, 62)]
    worth = value(part_of(paid), end_of(62), MODEL)
    served = balance(health_on(paid, 62), worth, MODEL)
    let_down = balance(health_on([*paid, *failed], 62), worth, MODEL)
    assert served == (100, 75)  # three high-value customers' worth: 3 / (1 + 3)
    assert let_down.gives == served.gives
    assert let_down.gets < 60
    assert balance(health_on([], 62), None, MODEL) == (100, 0)
    referred = part_of([*paid, step(61, "web:referral")])
    assert balance(health_on(paid, 62), value(referred, end_of(62), MODEL), MODEL).gives > 75


def test_the_row_carries_value_beside_health() -> None:
    state = CustomerState()
    steps = [
        *bought(0, 30, 60, amount=50_000),
        step(61, "store:visit", properties='{"role":"user"}'),
    ]
    state.take(PartUpdate("customer:C-1", "customer:C-1", 0, 4, part_of(steps)))
    row, *_ = evaluate("customer:C-1", state, {}, end_of(62), Policy(value=MODEL))
    assert (row.purchases, row.spend, row.currency) == (3, {"USD": 150_000}, "USD")
    assert (row.segment, row.role, row.gets, row.gives) == (DEVOTEE, "user", 100, 75)
    assert row.clv_minor > 50_000
    assert 0 < row.alive <= 1000
