from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from producers.conversion import ConversionError, conversion_of
from streams.core.jalali import from_gregorian, is_leap, to_gregorian

JALALI = {"format": "%Y/%m/%d", "zone": "Asia/Tehran", "calendar": "jalali"}


@pytest.mark.parametrize(
    ("options", "cell", "value"),
    [
        ({"scale": 2}, "11.77", 1177),
        ({"scale": 2}, "-0.1", -10),
        ({"scale": 2}, "1.10", 110),
        ({"scale": 0}, "۱۲۳۴۵", 12345),
        ({"scale": 2}, "۱٬۲۳۴٫۵", 123450),
        ({"scale": 0, "thousands": ","}, "1,250,000", 1_250_000),
        ({"scale": 2}, "1.15", 115),
        ({"as": "integer"}, "٤٢", 42),
        ({"values": {"a": 1}}, "a", 1),
    ],
)
def test_numbers_convert_exactly(options: dict[str, Any], cell: str, value: int) -> None:
    assert conversion_of(dict(options))(cell) == value


@pytest.mark.parametrize("cell", ["1.234", "1e5", "nan", "1_000", "1,5", "½", "9" * 50])
def test_amounts_that_are_not_exact_are_refused(cell: str) -> None:
    with pytest.raises(ConversionError):
        conversion_of({"scale": 2})(cell)


@pytest.mark.parametrize(
    ("options", "cell"),
    [
        ({"as": "integer"}, "1.5"),
        ({"as": "boolean"}, "maybe"),
        ({"values": {"a": "b"}}, "c"),
        ({"epoch": "seconds"}, "9" * 30),
        ({"format": "%Y", "zone": "UTC"}, "last year"),
    ],
)
def test_cells_that_do_not_convert(options: dict[str, Any], cell: str) -> None:
    with pytest.raises(ConversionError) as caught:
        conversion_of(dict(options))(cell)
    assert cell not in str(caught.value).split()


@pytest.mark.parametrize(
    ("options", "cell", "instant"),
    [
        ({"format": "%Y%m%d", "zone": "UTC"}, "19970101", "1997-01-01T00:00:00+00:00"),
        ({"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "01.07.2026 10:30",
         "2026-07-01T10:30:00+02:00"),
        ({"format": "%Y-%m-%dT%H:%M:%S%z"}, "2026-07-01T10:30:00+0330",
         "2026-07-01T10:30:00+03:30"),
        ({"format": "%Y/%m/%d %H:%M", "zone": "Asia/Tehran", "calendar": "jalali"},
         "۱۴۰۵/۰۹/۰۱ ۰۸:۰۵", "2026-11-22T08:05:00+03:30"),
        ({"epoch": "seconds"}, "1000000000.5", "2001-09-09T01:46:40.500000+00:00"),
        ({"epoch": "milliseconds"}, "1000000000500", "2001-09-09T01:46:40.500000+00:00"),
    ],
)  # fmt: skip
def test_times_convert(options: dict[str, Any], cell: str, instant: str) -> None:
    assert conversion_of(dict(options))(cell) == instant


@pytest.mark.parametrize("cell", ["1405/13/01", "1404/12/30", "1999/01/01", "1405-01-01"])
def test_jalali_dates_that_are_none(cell: str) -> None:
    with pytest.raises(ConversionError):
        conversion_of(dict(JALALI))(cell)


# Well-known days of recent Iranian history and of the official calendar.
@pytest.mark.parametrize(
    ("jalali", "gregorian"),
    [
        ((1332, 5, 28), date(1953, 8, 19)),
        ((1348, 10, 11), date(1970, 1, 1)),
        ((1357, 11, 22), date(1979, 2, 11)),
        ((1368, 3, 14), date(1989, 6, 4)),
        ((1399, 12, 30), date(2021, 3, 20)),
        ((1400, 1, 1), date(2021, 3, 21)),
        ((1403, 1, 1), date(2024, 3, 20)),
        ((1403, 12, 30), date(2025, 3, 20)),
        ((1404, 1, 1), date(2025, 3, 21)),
        ((1405, 9, 1), date(2026, 11, 22)),
    ],
)
def test_jalali_days(jalali: tuple[int, int, int], gregorian: date) -> None:
    assert to_gregorian(*jalali) == gregorian
    assert from_gregorian(gregorian) == jalali


def test_jalali_days_follow_each_other() -> None:
    days = [
        to_gregorian(year, month, day)
        for year in range(1304, 1473)
        for month in range(1, 13)
        for day in range(1, 32 if month < 7 else 31 if month < 12 or is_leap(year) else 30)
    ]
    assert all((later - earlier).days == 1 for earlier, later in pairwise(days))
    assert [to_gregorian(*from_gregorian(day)) for day in days] == days
    for outside in (days[0] - timedelta(1), days[-1] + timedelta(1)):
        with pytest.raises(ValueError, match="outside"):
            from_gregorian(outside)
