from datetime import UTC, datetime

from analytics.standing import Point
from commands.customer_view import clock, spark
from streams.core.policy import Policy


def test_a_spark_line_has_a_bar_for_each_point_coloured_by_band() -> None:
    points = [Point(day, health) for day, health in enumerate((0, 12, 13, 50, 75, 76, 100))]
    assert spark(points, Policy()) == (
        "[red]▁[/][red]▁[/][red]▂[/][red]▅[/][yellow]▇[/][green]▇[/][green]█[/]"
    )
    assert spark([Point(1, 50)], Policy(red=40)) == "[yellow]▅[/]"


def test_persian_clocks_tell_both_calendars_in_persian_digits() -> None:
    moment = datetime(2026, 11, 22, 5, 7, tzinfo=UTC)
    assert clock(moment, "en") == "2026-11-22 05:07 UTC"
    assert clock(moment, "fa") == "۱۴۰۵/۰۹/۰۱ (۲۰۲۶-۱۱-۲۲) ساعت ۰۵:۰۷ UTC"
