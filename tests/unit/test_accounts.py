import msgspec

from schemas.outcome import CustomerHealth
from streams.core.accounts import roll_up
from streams.core.policy import Policy

BASE = CustomerHealth(
    customer="",
    evaluated_ms=1,
    identifiers=1,
    touchpoints=9,
    health=80,
    sentiment=0,
    distress=0,
    segment="",
    account="B2B-1",
    components={},
    reasons=["−9: 3 calls in 5 days"],
    reached={},
    reasons_fa=["−۹: ۳ تماس در ۵ روز"],
)


def contact(customer: str, health: int, role: str = "", **more: int) -> CustomerHealth:
    return msgspec.structs.replace(BASE, customer=customer, health=health, role=role, **more)


def test_roles_weigh_the_mean() -> None:
    contacts = [contact("a", 90, "decision_maker"), contact("b", 60, "user")]
    account = roll_up("B2B-1", contacts, Policy())
    assert account is not None
    assert (account.health, account.band, account.contacts) == (82, "green", 2)
    assert account.bands == {"amber": 1, "green": 1}
    even = roll_up("B2B-1", contacts, Policy(roles={}))
    assert even is not None
    assert even.health == 75


def test_a_red_critical_contact_makes_a_fine_account_red() -> None:
    fine = [contact(str(n), 95, "user") for n in range(20)]
    account = roll_up("B2B-1", [*fine, contact("boss", 38, "champion")], Policy())
    assert account is not None
    assert account.health > 85
    assert (account.band, account.weakest) == ("red", "boss")
    assert account.reasons == [
        f"contacts average {account.health}",
        "the champion is red at 38",
        "−9: 3 calls in 5 days",
    ]
    assert account.reasons_fa[1] == "حامی ما در سازمان در وضعیت قرمز است: ۳۸"


def test_a_red_user_does_not() -> None:
    contacts = [contact("boss", 95, "decision_maker"), contact("u", 20, "user")]
    account = roll_up("B2B-1", contacts, Policy())
    assert account is not None
    assert (account.band, account.weakest) == ("green", "boss")


def test_without_critical_contacts_the_weakest_is_named_and_the_mean_decides() -> None:
    account = roll_up("B2B-1", [contact("a", 80), contact("b", 30)], Policy())
    assert account is not None
    assert (account.health, account.band, account.weakest) == (55, "amber", "b")
    assert account.reasons[1] == "the weakest contact is red at 30"


def test_contacts_who_moved_elsewhere_do_not_count() -> None:
    gone = contact("old", 10, "decision_maker", identifiers=0)
    account = roll_up("B2B-1", [gone, contact("a", 80, evaluated_ms=7)], Policy())
    assert account is not None
    assert (account.contacts, account.band, account.evaluated_ms) == (1, "green", 7)
    assert roll_up("B2B-1", [gone], Policy()) is None


def test_the_order_of_contacts_does_not_matter() -> None:
    contacts = [contact("b", 50, "user"), contact("a", 50, "user"), contact("c", 77)]
    assert roll_up("x", contacts, Policy()) == roll_up("x", contacts[::-1], Policy())
