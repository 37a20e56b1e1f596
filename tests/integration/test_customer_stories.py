"""Two customers from first visit to churn through the pipeline, and what people are told."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.surveys import periods
from schemas.state import Part
from streams.core.survey import measure
from streams.policy import load_policy
from tests.integration.journey import Running, answer, journey, running, until, write_ndjson
from tests.integration.test_cdnow import PUBLISHED, PUBLISHED_SPEND, wheel  # noqa: F401
from tests.story import MAYA_NAMES, REZA_NAMES, day, wire
from tests.unit.test_health_stories import MAYA, REZA
from tests.wire import touchpoint

pytestmark = [pytest.mark.integration, pytest.mark.broker]

MAYA_PHONE, REZA_PHONE = "+1 202 555 0143", "۰۹۱۲ ۷۶۵ ۴۳۲۱"
CONTACTS = {"sara": "decision_maker", "ali": "user", "mina": "user"}


def company() -> list[dict[str, Any]]:
    """A company whose users are content and whose decision maker is not."""
    told = []
    for number, (name, role) in enumerate(CONTACTS.items()):
        common = {
            "identifiers": [{"kind": "customer", "value": name}],
            "account": "acme",
            "properties": {"role": role},
        }
        told.append(touchpoint(9_000 + number, **common, occurred_at="2026-11-19T09:30:00Z"))
        if role == "decision_maker":
            told += [
                touchpoint(
                    9_100 + at_,
                    **common,
                    channel="call_center",
                    type="call",
                    occurred_at=f"2026-11-{at_}T09:30:00Z",
                    wait_seconds=1800,
                    transfers=2,
                    resolved=False,
                    text="This is unacceptable, still broken and nobody calls back!",
                )
                for at_ in (18, 19, 20, 21)
            ]
    return told


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("stories")
    stories = [*wire(MAYA, MAYA_NAMES), *wire(REZA, REZA_NAMES), *company()]
    file = write_ndjson(folder / "stories.ndjson", stories)
    with running(folder / "data", "up") as found:
        report = answer(found.data, "import", str(file), "--wait")
        assert report["published"] == len(stories)
        yield found
        found.end(signal.SIGINT)


def shown(up: Running, who: str, number: int, *options: str) -> str:
    """What is printed of a customer as of a day of its story."""
    done = journey(up.data, "customer", who, "--as-of", day(number), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_maya_from_first_visit_to_churn(up: Running) -> None:
    content = shown(up, MAYA_PHONE, 8)
    assert content.startswith("customer:maya as of 2024-10-12 23:59 UTC\nalso cookie:maya-browser")
    assert "green" in content
    assert "segment promising" in content
    assert "last 9 days" in content
    assert "−" not in content, "nothing costs health yet"
    assert "“Came early, lovely coffee maker”  +" in content
    assert "call_center" not in content, "what comes later is not told"

    fallen = shown(up, MAYA_PHONE, 84)
    assert " red " in fallen
    assert "segment at risk" in fallen
    assert "unresolved for 4 days" in fallen
    assert "3 calls in 5 days, promised callback not made" in fallen
    assert "order overdue for 6 days" in fallen
    assert "broken callback promise" in fallen
    assert "“Nobody called me back, this is a joke”  -" in fallen

    silent = shown(up, "customer:maya", 110)
    assert "quiet for 25 days, usually back every 5" in silent
    assert "segment lost" in shown(up, MAYA_PHONE, 500)
    scores = [answer_of(up, MAYA_PHONE, number)["health"] for number in (8, 79, 84, 110, 500)]
    assert scores == sorted(scores, reverse=True)


def test_reza_is_told_in_persian(up: Running) -> None:
    content = shown(up, REZA_PHONE, 9)
    assert content.startswith("customer:reza در ۱۴۰۳/۰۷/۲۲ (۲۰۲۴-۱۰-۱۳) ساعت ۲۳:۵۹ UTC\n")
    assert "سبز" in content
    assert "گروه امیدبخش" in content
    let_down = shown(up, REZA_PHONE, 55)
    assert "زرد" in let_down
    assert "۲ مراجعه در ۳ روز، ۱۵ دقیقه انتظار پشت خط" in let_down
    assert "۲ روز است که حل نشده" in let_down
    won_back = shown(up, REZA_PHONE, 57)
    assert "سبز" in won_back
    assert "حل نشده" not in won_back
    lost = shown(up, REZA_PHONE, 92)
    assert "قرمز" in lost
    assert "گروه در خطر" in lost
    assert "قول تماس عملی نشد" in lost
    assert "سفارش ۷ روز از موعد گذشته و نرسیده" in lost
    assert "پریشانی از نوشته‌های مضطرب" in lost
    assert "گروه از دست رفته" in shown(up, REZA_PHONE, 500)
    assert "4 days" in shown(up, REZA_PHONE, 92, "--lang", "en")


def answer_of(up: Running, who: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = answer(up.data, "customer", who, "--as-of", day(number))
    return found


def test_history_is_the_health_that_was_told_then(up: Running) -> None:
    now = answer_of(up, MAYA_PHONE, 110)
    assert now["history"]["step"] == "week"
    points = now["history"]["points"]
    assert points[-1]["health"] == now["health"]
    then = points[-4]
    told = answer(
        up.data,
        *("customer", MAYA_PHONE, "--as-of"),
        (date(1970, 1, 1) + timedelta(then["day"])).isoformat(),
    )
    assert told["health"] == then["health"]
    assert now["reasons"][0] == "−16: unresolved for 30 days"


def test_an_account_is_as_red_as_its_decision_maker(up: Running) -> None:
    as_of = ("--as-of", "2026-11-21")
    done = journey(up.data, "accounts", *as_of, "--json")
    (acme,) = map(json.loads, done.stdout.splitlines())
    assert (acme["account"], acme["contacts"], acme["band"]) == ("acme", 3, "red")
    assert acme["health"] > 50, "the mean alone is not red"
    assert acme["weakest"] == "customer:sara"
    assert acme["bands"] == {"red": 1, "green": 2}
    table = journey(up.data, "accounts", *as_of).stdout
    assert "the decision maker is red at" in table
    sara = journey(up.data, "customer", "customer:sara", *as_of).stdout
    assert "account acme (decision_maker)" in sara


def test_surveys_by_period_are_what_the_core_measures(up: Running) -> None:
    client = up.clickhouse()
    parts = [
        msgspec.json.decode(part, type=Part)
        for (part,) in client.execute("SELECT part FROM parts FINAL")
    ]
    for length in ("month", "week"):
        found = periods(client, length)  # type: ignore[arg-type]
        assert found
        for one in found:
            after = one.start + timedelta(7) if length == "week" else _next_month(one.start)
            first = (one.start - date(1970, 1, 1)).days
            last = (after - date(1970, 1, 1)).days - 1
            assert one.measures == measure(parts, first, last), one
        answers = sum(sum(one.measures.answers.values()) for one in found)
        assert answers == 4
    client.disconnect()
    lines = journey(up.data, "survey", "--json").stdout.splitlines()
    october = json.loads(lines[0])
    assert (october["start"], october["nps"], october["csat"]) == ("2024-10-01", 100.0, 100.0)
    assert "+100" in journey(up.data, "survey", "--period", "week").stdout


def _next_month(start: date) -> date:
    return (start + timedelta(32)).replace(day=1)


def test_value_is_fitted_on_the_ledger_as_published(
    up: Running,
    wheel: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    out = tmp_path / "health.toml"
    few = journey(up.data, "fit-value", "--out", str(out))
    assert few.returncode == 1
    assert "fewer than ten customers bought again; wait for more orders" in few.stderr
    assert not out.exists()

    sample = tmp_path / "CDNOW_sample.txt"
    sample.write_bytes(wheel.read("lifetimes/datasets/CDNOW_sample.txt"))
    mapping = tmp_path / "sample.toml"
    whole = Path("examples/cdnow.toml").read_text()
    mapping.write_text(
        whole.replace('["customer_id", "date"', '["master_id", "customer_id", "date"')
    )
    stored = up.stored()
    report = answer(up.data, "import", str(sample), "--map", str(mapping))
    assert report["published"] == report["lines"] == 6_919
    until(lambda: up.stored() >= stored + 6_919, "CDNOW does not arrive in the ledger")

    out.write_text(
        "red = 40  # ours\n\n[value]\nr = 9.0\nhorizon_days = 180\n\n[roles]\nuser = 2\n"
    )
    done = journey(up.data, "fit-value", "--out", str(out), "--as-of", "1997-09-30")
    assert done.returncode == 0, done.stderr
    assert f"set JOURNEY_HEALTH_FILE={out}" in done.stdout
    assert done.stdout.startswith("2,357 customers fitted in ")
    policy = load_policy(out)
    model = policy.value
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(PUBLISHED, abs=0.002)
    spend = model.spend["USD"]
    assert (spend.p, spend.q, spend.v / 100) == pytest.approx(PUBLISHED_SPEND, rel=0.05)
    assert (policy.red, model.horizon_days, policy.roles) == (40, 180, {"user": 2})
    assert "# ours" in out.read_text()
