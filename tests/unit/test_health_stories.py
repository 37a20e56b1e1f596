"""Two customers from their first visit to the day they are lost, as a support manager sees it."""

from schemas.outcome import JourneyStep
from streams.core.health import Health, change
from streams.core.policy import Policy, SpendModel, ValueModel
from streams.core.value import AT_RISK, DEVOTEE, LOST, PROMISING, segment_of, value
from tests.unit.health_steps import end_of, health_on, part_of, step

POLICY = Policy(value=ValueModel(spend={"USD": SpendModel(6.25, 3.74, 1544.0, 50_000.0)}))

MAYA = [
    step(0, "web:page_view", page="/"),
    step(0, "web:product_view"),
    step(2, "web:page_view"),
    step(3, "web:sign_up"),
    step(3, "order:placed", order="O1", promised_at=7.9, amount=12_000),
    step(5, "order:shipped", order="O1"),
    step(6, "order:delivered", order="O1"),
    step(8, "survey:answered", "Came early, lovely coffee maker", 800, survey="nps", answer=9),
    *(step(day, "web:page_view") for day in (15, 22, 30, 37, 44, 52, 60, 66, 73)),
    step(37, "order:placed", order="O2", promised_at=41.9, amount=9_000),
    step(40, "order:delivered", order="O2"),
    step(74, "order:placed", order="O3", promised_at=78.9, amount=40_000),
    step(80, "call_center:call", "Where is it?", -100, 100, wait_seconds=840, resolved=False),
    step(
        82,
        "call_center:call",
        "Second time I call and nobody knows",
        -600,
        550,
        wait_seconds=1260,
        transfers=2,
        resolved=False,
    ),
    step(82, "call_center:callback_promised"),
    step(
        84,
        "call_center:call",
        "Nobody called me back, this is a joke",
        -850,
        700,
        wait_seconds=600,
        transfers=1,
        resolved=False,
    ),
    step(85, "survey:answered", "Never again.", -900, 300, survey="nps", answer=1),
    step(88, "order:delivered", order="O3"),
]

REZA = [
    step(0, "web:page_view", page="/"),
    step(0, "web:search"),
    step(1, "web:product_view"),
    step(2, "app:sign_up"),
    step(2, "order:placed", order="S1", promised_at=6.9, amount=92_000_000, currency="IRR"),
    step(6, "order:delivered", order="S1"),
    step(7, "packaging:register"),
    step(9, "survey:answered", "خیلی راضی‌ام، دستتون درد نکنه", 850, survey="csat", answer=5),
    *(step(day, "app:page_view") for day in (16, 23, 31, 38, 45, 52)),
    step(53, "chat:message", "دستگاه روشن نمی‌شه", -450, 200, direction="inbound"),
    step(53, "chat:closed", resolved=False),
    step(
        55,
        "call_center:call",
        "دو روزه کسی جواب نمی‌ده",
        -700,
        500,
        wait_seconds=900,
        transfers=2,
        resolved=False,
    ),
    step(57, "call_center:call", "بالاخره درست شد، ممنون", 500, wait_seconds=60, resolved=True),
    *(step(day, "app:page_view") for day in (60, 66, 73, 80)),
    step(81, "order:placed", order="S2", promised_at=85.9, amount=31_000_000, currency="IRR"),
    step(88, "app:rage_click"),
    step(
        88,
        "call_center:call",
        "سفارش من کجاست؟ بار دومه که مشکل دارم",
        -500,
        500,
        wait_seconds=1500,
        resolved=False,
    ),
    step(88, "call_center:callback_promised"),
    step(
        91,
        "call_center:call",
        "قول دادید تماس بگیرید، نگرفتید. شکایت می‌کنم",
        -900,
        850,
        wait_seconds=1200,
        transfers=3,
        resolved=False,
    ),
    step(92, "survey:answered", "دیگه هیچ‌وقت نمی‌خرم", -950, 500, survey="nps", answer=0),
    step(93, "order:cancelled", order="S2", amount=31_000_000, currency="IRR"),
]


def maya(day: int) -> Health:
    return health_on(MAYA, day)


def reza(day: int) -> Health:
    return health_on(REZA, day)


def segment(steps: list[JourneyStep], day: int) -> str:
    worth = value(part_of(steps), end_of(day), POLICY.value)
    return segment_of(worth, POLICY.band(health_on(steps, day).score))


def band(health: Health) -> str:
    return POLICY.band(health.score)


def test_maya_is_content_for_as_long_as_promises_are_kept() -> None:
    assert band(maya(0)) == "green"
    assert change(maya(3), maya(8)) == "+6: writes kindly, good survey answers"
    assert all(band(maya(day)) == "green" for day in range(78))
    assert maya(77).reasons() == []
    assert maya(77).distress == 0
    assert segment(MAYA, 70) == PROMISING
    assert segment(MAYA, 77) == DEVOTEE


def test_maya_is_let_down_step_by_step() -> None:
    assert change(maya(77), maya(79)) == "−5: order overdue for a day"
    assert list(maya(79).causes) == ["late delivery"]
    assert change(maya(79), maya(80)) == "−13: had to call, unresolved"
    assert change(maya(80), maya(82)) == "−14: second call in 3 days, unresolved"
    assert change(maya(82), maya(84)) == "−8: third call in 5 days, unresolved"
    assert "promised callback not made" in maya(84).reasons()[1]
    assert [band(maya(day)) for day in (79, 80, 84)] == ["green", "amber", "red"]
    assert maya(84).distress > 950
    assert "broken callback promise" in maya(84).causes


def test_mayas_delivery_comes_too_late_to_keep_her() -> None:
    assert change(maya(84), maya(85)).endswith(": writes with displeasure, poor survey answers")
    assert change(maya(85), maya(88)) == "+1: delivered at last"
    assert band(maya(88)) == "red"
    assert segment(MAYA, 88) == AT_RISK
    assert change(maya(95), maya(110)) == "−7: quiet for 25 days, usually back every 5"
    curve = [maya(day).score for day in range(88, 400, 6)]
    assert curve == sorted(curve, reverse=True)
    assert maya(130).distress == 0, "distress is of the moment; health remembers"
    assert segment(MAYA, 500) == LOST


def test_reza_is_won_back_once() -> None:
    assert change(reza(7), reza(9), "fa") == "+۹: با رضایت می‌نویسد، پاسخ خوب در نظرسنجی"
    assert change(reza(52), reza(53), "fa").endswith(": با نارضایتی می‌نویسد، حل‌نشده")
    assert change(reza(53), reza(55), "fa") == "−۱۵: دومین مراجعه در ۳ روز، حل‌نشده"
    assert band(reza(55)) == "amber"
    assert change(reza(55), reza(57), "fa") == "+۱۴: مشکل حل شد"
    assert change(reza(57), reza(80), "fa").endswith(": تجربه‌های گذشته کم‌رنگ می‌شود")
    assert band(reza(80)) == "green"


def test_reza_is_lost_the_second_time() -> None:
    assert "سفارش ۲ روز از موعد گذشته و نرسیده" in reza(87).reasons(language="fa")[0]
    assert change(reza(87), reza(88), "fa").endswith(": ناچار به تماس شد، حل‌نشده")
    assert "قول تماس عملی نشد" in change(reza(88), reza(90), "fa")
    assert change(reza(90), reza(91), "fa") == "−۱۰: دومین تماس در ۴ روز، حل‌نشده"
    assert band(reza(92)) == "red"
    assert reza(92).distress > reza(55).distress
    cancelled = change(reza(92), reza(93), "fa")
    assert not cancelled.startswith("+"), "a cancelled late order is no kept promise"
    assert "۱ سفارش پس از گذشتن موعد لغو شد" in " ".join(reza(93).reasons(9, "fa"))
    assert segment(REZA, 93) == AT_RISK
    assert "معمولاً هر ۴ روز سر می‌زد" in change(reza(93), reza(110), "fa")
    assert reza(150).score < reza(110).score < reza(93).score
    assert segment(REZA, 500) == LOST


def test_persian_reasons_hold_no_latin_letters_or_digits() -> None:
    told = [
        line
        for day in range(0, 200, 3)
        for health in (reza(day), maya(day))
        for line in health.reasons(9, "fa")
    ]
    assert told
    assert not [line for line in told if any(c.isascii() and c.isalnum() for c in line)]
