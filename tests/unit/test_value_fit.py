import tomllib
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from streams.core.value import expected_spend
from streams.core.value_fit import (
    FitError,
    History,
    fit_purchases,
    fit_spend,
    minimise,
    model_of,
    purchases_likelihood,
    spend_likelihood,
    to_toml,
)
from streams.policy import load_policy

# Customers 1, 2, … of CDNOW; the likelihoods are lifetimes' at the published parameters.
SOME = [
    History(2, 30.43, 38.86),
    History(1, 1.71, 38.86),
    History(0, 0.0, 38.86),
    History(0, 0.0, 30.0),
    History(0, 0.0, 30.0),
    History(7, 29.43, 38.86),
    History(4, 20.0, 38.86),
]
SPENT = [(2, 22.35), (1, 11.77), (7, 73.74), (4, 20.5)]


def test_likelihood_of_purchases_is_what_lifetimes_says() -> None:
    likelihood = purchases_likelihood((0.243, 4.414, 0.793, 2.426), Counter(SOME))
    assert likelihood == pytest.approx(-51.9962727359532, rel=1e-12)


def test_likelihood_of_spend_is_what_lifetimes_says() -> None:
    likelihood = spend_likelihood((6.25, 3.74, 15.44), Counter(SPENT))
    assert likelihood == pytest.approx(-16.807157702978216, rel=1e-12)


def test_minimise_finds_the_end_of_rosenbrocks_valley() -> None:
    where, least, _ = minimise(
        lambda v: (1 - v[0]) ** 2 + 100 * (v[1] - v[0] ** 2) ** 2, [-1.2, 1.0]
    )
    assert where == pytest.approx([1, 1], abs=1e-3)
    assert least < 1e-6


def test_fit_recovers_the_process_that_made_the_histories() -> None:
    r, alpha, a, b = truth = (0.8, 6.0, 0.9, 3.0)
    rng = Random(11)
    histories = []
    for _ in range(3_000):
        rate, leaves = rng.gammavariate(r, 1 / alpha), rng.betavariate(a, b)
        x, moment, last, age = 0, 0.0, 0.0, 52.0
        while True:
            moment += rng.expovariate(rate)
            if moment > age:
                break
            x, last = x + 1, moment
            if rng.random() < leaves:
                break
        histories.append(History(x, last, age))
    fitted = fit_purchases(histories)
    assert fitted.log_likelihood >= purchases_likelihood(truth, Counter(histories))
    assert fitted.parameters[:2] == pytest.approx(truth[:2], rel=0.25)
    assert fitted.customers == 3_000


def test_fit_of_spend_scales_with_the_currency() -> None:
    rng = Random(5)
    spends = [(rng.randint(1, 9), rng.gammavariate(3, 10)) for _ in range(300)]
    dollars, cents = fit_spend(spends), fit_spend((x, 100 * mean) for x, mean in spends)
    assert cents.parameters[2] == pytest.approx(100 * dollars.parameters[2], rel=1e-6)
    assert cents.parameters[:2] == pytest.approx(dollars.parameters[:2], rel=1e-6)


def test_too_few_who_came_back_are_refused() -> None:
    with pytest.raises(FitError, match="fewer than ten customers bought again"):
        fit_purchases(SOME)
    with pytest.raises(FitError, match="fewer than ten customers spent again"):
        fit_spend(SPENT)


def test_the_fitted_model_is_read_back_from_the_policy_file(tmp_path: Path) -> None:
    rng = Random(3)
    histories = [History(n % 5, 9.0 * (n % 5 > 0), 12.0 + n % 7) for n in range(60)]
    spends = fit_spend((rng.randint(1, 5), rng.gammavariate(4, 9)) for _ in range(60))
    model = model_of(fit_purchases(histories), {"IRR": (spends, 1_000.0)}, unit_days=7)
    file = tmp_path / "policy.toml"
    file.write_text(to_toml(model))
    assert tomllib.loads(file.read_text())["value"]["r"] == model.r
    read = load_policy(file).value
    assert read == model
    assert expected_spend(read.spend["IRR"], 3, 30.0) > 0
