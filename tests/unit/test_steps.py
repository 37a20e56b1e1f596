import pytest

from analytics.funnel import funnel_sql
from analytics.steps import BadStep, are_disjoint, parse_step


def test_a_step_is_channel_type_and_filters() -> None:
    step = parse_step(" order:placed[product=Fridge 9=x][currency=IRR] ")
    assert (step.channel, step.type) == ("order", "placed")
    assert step.filters == (("product", "Fridge 9=x"), ("currency", "IRR"))
    assert step.text == "order:placed[product=Fridge 9=x][currency=IRR]"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is not channel:type"),
        ("web", "is not channel:type"),
        ("web:", "is not channel:type"),
        ("web:page_view[product=a", "is not channel:type"),
        ("web:page_view]x[", "is not channel:type"),
        ("wbe:page_view", "channel 'wbe' is unknown; one of web, app"),
        ("web:Page-View", "type 'Page-View' is not lower case"),
        ("web:page_view[product]", r"\[product\] is not \[field=value\]"),
        ("web:page_view[=a]", r"\[=a\] is not"),
        ("web:page_view[product=]", r"\[product=\] is not"),
    ],
)
def test_a_bad_step_is_quoted_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(BadStep, match=fault) as raised:
        parse_step(text)
    assert raised.value.step == text
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("texts", "disjoint"),
    [
        (["web:page_view", "web:search", "app:search"], True),
        (["web:page_view", "web:search", "web:page_view"], False),
        (["web:page_view[product=a]", "web:page_view[product=b]"], True),
        (["web:page_view[product=a]", "web:page_view[campaign=a]"], False),
        (["web:page_view[product=a]", "web:page_view"], False),
    ],
)
def test_steps_are_disjoint_where_no_touchpoint_can_be_both(
    texts: list[str], disjoint: bool
) -> None:
    assert are_disjoint([parse_step(text) for text in texts]) is disjoint


def test_values_never_stand_in_the_sql() -> None:
    sql, values, _ = funnel_sql(["web:page_view[o'k=v') OR 1]"], 60)
    assert "o'k" not in sql
    assert "OR 1" not in sql
    assert {"o'k", "v') OR 1"} <= set(values.values())


@pytest.mark.parametrize("steps", [[], ["web:search"] * 33])
def test_a_funnel_has_a_number_of_steps_that_can_be_counted(steps: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 32 steps"):
        funnel_sql(steps, 60)


@pytest.mark.parametrize("window", [0, -1, float("nan")])
def test_a_window_is_longer_than_nothing(window: float) -> None:
    with pytest.raises(ValueError, match="longer than 0 seconds"):
        funnel_sql(["web:search"], window)
