"""Distress: each cue alone, calm texts, and that it is not mere negativity."""

import pytest

from streams.core.sentiment import score
from streams.core.sentiment.distress import DURATIONS, duration_weight, noisy_or

CUES = {
    "threat": ["I will see my lawyer about this", "از شما شکایت می‌کنم"],
    "repeat": ["third time I call about this problem", "بار سومه که برای همین مشکل زنگ می‌زنم"],
    "wait": ["still waiting after three weeks", "سه هفته‌ست منتظرم"],
    "silence": ["nobody answers my calls", "هیچ‌کس جواب تلفن رو نمیده"],
    "abuse": ["you are idiots", "عوضی‌ها"],
    "safety": ["the charger caught fire", "شارژر آتیش گرفت"],
    "money": ["charged twice for one order", "دو بار پول از حسابم کم شد"],
    "despair": ["I am at my wits end", "دیگه خسته شدم از دستتون"],
    "polite": [
        "Dear team, with all respect, this is my fourth complaint and I still have no answer",
        "با سلام و احترام، این چهارمین بار است که پیگیری می‌کنم و پاسخی نگرفته‌ام",
    ],
}
CALM = [
    "I placed an order yesterday",
    "Where is my order?",
    "the colour is a bit different from the photo",
    "website is slow today",
    "Third order from you and every one has been perfect!!!",
    "delivered in 2 days, thank you",
    "سفارشم کی می‌رسه؟",
    "دیروز سفارش ثبت کردم",
    "رنگش یه کم فرق داره",
    "سومین باره سفارش میدم و عالی بود!!!",
    "مهلت مرجوعی ۷ روزه؟",
    "ممنون از پیگیریتون",
]


@pytest.mark.parametrize(
    ("cue", "text"), [(cue, text) for cue, texts in CUES.items() for text in texts]
)
def test_each_cue_alone_distresses(cue: str, text: str) -> None:
    assert score(text).distress >= 400, cue


@pytest.mark.parametrize("text", CALM)
def test_calm_texts(text: str) -> None:
    assert score(text).distress <= 250


def test_every_distressed_text_ranks_above_every_calm_one() -> None:
    lowest = min(score(text).distress for texts in CUES.values() for text in texts)
    assert lowest > max(score(text).distress for text in CALM)


def test_a_longer_wait_distresses_more() -> None:
    waits = [score(f"I have been waiting for {days} days").distress for days in (1, 4, 9)]
    assert waits == sorted(set(waits))


def test_exclamations_and_capitals_add() -> None:
    plain = score("cancel it, this is awful").distress
    assert plain < score("cancel it, this is awful!!").distress
    assert plain < score("CANCEL it, this is AWFUL").distress


def test_cues_add_up() -> None:
    one = score("nobody answers").distress
    assert one < score("nobody answers, I will call my lawyer").distress < 1000


def test_noisy_or() -> None:
    assert noisy_or([]) == 0
    assert noisy_or([500]) == 500
    assert noisy_or([500, 500]) == 750
    assert noisy_or([1000, 300]) == 1000


@pytest.mark.parametrize("unit", DURATIONS)
def test_duration_weight_grows_to_its_limit(unit: int) -> None:
    weights = [duration_weight(count, unit) for count in (0, 1, 2, 3, 9_999)]
    assert weights == sorted(weights)
    assert weights[-1] == DURATIONS[unit][2]
