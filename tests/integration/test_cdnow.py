"""The fit against CDNOW, the data set of the papers, as the package `lifetimes` carries it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from zipfile import ZipFile

import pytest

from streams.core.value_fit import (
    History,
    fit_purchases,
    fit_spend,
    purchases_likelihood,
)
from tests.datasets import lifetimes

pytestmark = pytest.mark.integration

# Fader, Hardie & Lee (2005), table 2; Fader & Hardie (2013), section 4.
PUBLISHED = (0.243, 4.414, 0.793, 2.426)
PUBLISHED_SPEND = (6.25, 3.74, 15.44)
# What lifetimes 0.11.3 itself finds, with scipy 1.17 and no penaliser.
LIFETIMES = (0.242593, 4.413532, 0.792886, 2.425752)
LIFETIMES_SPEND = (6.248802, 3.744588, 15.447748)


@pytest.fixture(scope="module")
def wheel() -> ZipFile:
    return lifetimes()


def rows(wheel: ZipFile, name: str) -> list[dict[str, str]]:
    text = wheel.read(f"lifetimes/datasets/{name}").decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_purchases_of_cdnow_are_fitted_as_published(wheel: ZipFile) -> None:
    histories = [
        History(int(row["frequency"]), float(row["recency"]), float(row["T"]))
        for row in rows(wheel, "cdnow_customers_summary.csv")
    ]
    fitted = fit_purchases(histories)
    assert fitted.customers == 2357
    assert [round(value, 3) for value in fitted.parameters] == pytest.approx(PUBLISHED, abs=0.001)
    assert fitted.parameters == pytest.approx(LIFETIMES, rel=2e-4)
    assert fitted.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    alike = Counter(histories)
    assert fitted.log_likelihood >= purchases_likelihood(LIFETIMES, alike) - 1e-4


def test_spend_of_cdnow_is_fitted_as_published(wheel: ZipFile) -> None:
    fitted = fit_spend(
        (int(row["x"]), float(row["zbar"]))
        for row in rows(wheel, "cdnow_customers_summary_with_transactions.csv")
    )
    assert fitted.customers == 946
    assert fitted.parameters == pytest.approx(PUBLISHED_SPEND, abs=0.01)
    assert fitted.parameters == pytest.approx(LIFETIMES_SPEND, rel=5e-4)
