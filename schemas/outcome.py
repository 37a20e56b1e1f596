"""What processors emit. msgspec structs: one is built per touchpoint on the hot path."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec


class Reason(StrEnum):
    """Why a record was rejected; metric label and dead-letter field alike."""

    MALFORMED_JSON = "malformed_json"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    BAD_TIME = "bad_time"
    OVERSIZED = "oversized"


class JourneyStep(msgspec.Struct, frozen=True, gc=False):
    """One row of the ledger: a touchpoint with its stage and its text's score.

    Times are epoch milliseconds, UTC; `sentiment` −1000..1000 and `distress` 0..1000 milli-units.
    """

    event_id: str
    occurred_ms: int
    anchor: str
    channel: str
    type: str
    stage: str
    identifiers: list[str]
    account: str
    text: str
    language: str
    sentiment: int
    distress: int
    scorer: str  # version of the scorer; empty where there was no text
    fields: dict[str, str]  # typed fields of the channel, as text
    amount_minor: int
    currency: str
    properties: str  # JSON object
    received_ms: int  # when the broker took the touchpoint


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A rejected record: the original bytes and where they came from; made by `dead_letters`."""

    topic: str
    partition: int
    offset: int
    reason: str
    field: str
    message: str
    raw: bytes  # base64 in JSON
    received_ms: int
    cut: int = 0  # bytes at the end of the record that were not kept

    @property
    def id(self) -> str:
        """`topic:partition:offset:digest of the bytes`: one record, whenever it is read again.

        The digest tells records apart where a topic created anew counts its offsets from zero.
        """
        digest = sha256(self.raw).hexdigest()[:8]
        return f"{self.topic}:{self.partition}:{self.offset}:{digest}"


class Action(StrEnum):
    """What a link says of its two identifiers."""

    SEEN = "seen"  # on one touchpoint
    JOIN = "join"  # an operator: they are one customer's
    WITHDRAW = "withdraw"  # an operator: they are not, whatever was seen


class Link(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Two identifiers: seen together, with the earliest evidence; or an operator's entry on them.

    Of an operator's entry `event_id` is its own id, `occurred_ms` when it was made. Of several
    entries on one pair the latest holds.
    """

    a: str  # `kind:value`, a < b
    b: str
    event_id: str
    occurred_ms: int
    source: str  # channel of the evidence, or the operator's name
    action: Action = Action.SEEN
    reason: str = ""

    def key(self) -> str:
        """Kafka key: a pair has one record of what was seen and one of the operators' entries."""
        pair = f"{self.a}\0{self.b}"
        return pair if self.action is Action.SEEN else f"{pair}\0operator"


class Member(msgspec.Struct, frozen=True, gc=False):
    """An identifier's customer from `epoch` on (offset + 1 of the link that decided it)."""

    identifier: str
    customer: str
    epoch: int


ERASE: Final = "erase"
FORGET: Final = "forget"


def erasure_key(identifiers: Iterable[str]) -> str:
    """Key of a tombstone that has everyone forget identifiers.

    In `identity.links` it begins an erasure; in `identity.members` there is one for each of them.
    """
    return "\0".join((ERASE, *identifiers))


def erased_by(key: str) -> list[str]:
    """The identifiers that such a key names; empty for the key of a link."""
    first, *identifiers = key.split("\0")
    return identifiers if first == ERASE else []


def forget_key(identifier: str, erased: str) -> str:
    """Key of the tombstone in `identity.members` that has one identifier forget another."""
    return "\0".join((FORGET, identifier, erased))


class CustomerHealth(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A customer's health at a moment, and the memory that outreach needs.

    `health` 0..100; `sentiment` and `distress` in milli-units; `reasons` one sentence each.
    """

    customer: str
    evaluated_ms: int
    identifiers: int
    touchpoints: int
    health: int
    sentiment: int
    distress: int
    segment: str
    account: str
    components: dict[str, int]  # name -> contribution, milli-points
    reasons: list[str]
    reached: dict[str, int]  # rule -> epoch milliseconds when the guard was last asked
    causes: dict[str, int] = {}  # of distress -> milli-probability, strongest first
    reasons_fa: list[str] = []
    role: str = ""  # at the account
    review: str = ""  # an answer and its text that disagree; empty where none do
    review_ms: int = 0
    purchases: int = 0  # days with purchases
    spend: dict[str, int] = {}  # currency -> minor units, less refunds
    tenure: int = 0  # days since the first touchpoint
    alive: int = 0  # milli-probability of buying again
    expected: int = 0  # milli-purchases within the model's horizon
    currency: str = ""
    clv_minor: int = 0
    gets: int = 0  # 0..100, see `core.value.Balance`
    gives: int = 0
    holding: dict[str, int] = {}  # rule that asks for a duration -> since when its conditions hold
    # account that has, or may have, a record of this customer -> (version, digest) of the last one
    told: dict[str, tuple[int, int]] = {}


class AccountHealth(msgspec.Struct, frozen=True, gc=False):
    """A company's health, from its contacts'. `band` is red where a critical contact is red."""

    account: str
    evaluated_ms: int
    health: int  # mean by the weight of roles, 0..100
    band: str
    contacts: int
    bands: dict[str, int]  # band -> contacts in it
    weakest: str  # customer of the weakest critical contact, else of the weakest
    reasons: list[str]
    reasons_fa: list[str] = []


class Account(AccountHealth, frozen=True, gc=False, omit_defaults=True):
    """An account's health, and the memory that its rules need. Nobody's: `contacts` 0, no band."""

    reached: dict[str, int] = {}  # rule -> epoch milliseconds when the guard was last asked
    holding: dict[str, int] = {}  # rule that asks for a duration -> since when its conditions hold
    past: dict[int, int] = {}  # day since 1970 -> health at its end, where it changed


class Contact(msgspec.Struct, frozen=True, omit_defaults=True):
    """A customer as its account sees it: what the account's health and its rules look at."""

    row: CustomerHealth  # without times, memory, and what no account asks for
    identifiers: list[str]
    seen_day: int  # days since 1970: of the last visit, or the first touchpoint
    zone: str = ""
    language: str = ""
    consent: dict[str, str] = {}  # channel of an account rule -> what was said of it
    fits: list[str] = []  # account rules whose conditions on the contact hold


class ContactUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A contact on its way to an account; `contact` None: the customer is not, or no longer, its.

    The newest is the highest (version, evaluated_ms). `version` counts what the customer's
    partition of `parts` held, so who knew less loses.
    """

    account: str
    customer: str
    version: int
    evaluated_ms: int
    contact: Contact | None
    received_ms: int = 0


def contact_key(account: str, customer: str) -> bytes:
    """Kafka key of a customer's record at an account."""
    return f"{account}\0{customer}".encode()


class OutreachRequest(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A rule's conditions hold for a customer: what the guard decides on.

    `identifiers` are all of the customer's, its id among them, so that what was decided for it
    under another id before a merge counts too.
    """

    decision_id: str
    customer: str
    identifiers: list[str]
    rule: str
    channel: str
    requested_ms: int
    why: str
    health: int
    distress: int
    account: str = ""
    zone: str = ""  # the customer's own, by the name of the IANA database
    consent: str = ""  # `granted` or `withdrawn`, for this channel; empty where nothing was said
    language: str = ""
    subject: str = ""
    body: str = ""
    ways_out: list[str] = []
    received_ms: int = 0  # of the touchpoint that led to it; 0 where time did


class OutreachDecision(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A rule fired for a customer: reach out, or not and why.

    A sender takes those that are `taken`, once for each `decision_id`, and not after `expires_ms`.
    Texts and identifiers stand only where it is taken.
    """

    decision_id: str
    customer: str
    rule: str
    decided_ms: int
    taken: bool
    why: str  # the rule fired
    health: int
    distress: int
    channel: str = ""
    suppressed_by: str = ""  # a name of `core.guard.CHECKS`; empty where it is taken
    detail: str = ""  # of the suppression
    holdout: bool = False
    due_ms: int = 0  # in quiet hours: when they end, and the rule is looked at again
    expires_ms: int = 0  # when quiet hours begin
    requested_ms: int = 0
    account: str = ""
    language: str = ""
    subject: str = ""
    body: str = ""
    ways_out: list[str] = []
    identifiers: list[str] = []

    def key(self) -> str:
        """Kafka key: a decision is one record."""
        return f"{self.customer}\0{self.decision_id}"


class Status(StrEnum):
    """What became of a decision that was taken, or how far it is."""

    SENDING = "sending"  # an attempt is under way, or was cut off
    WAITING = "waiting"  # an attempt failed, and another follows
    SENT = "sent"  # the endpoint has taken it
    REFUSED = "refused"  # the endpoint will never take it
    EXPIRED = "expired"
    NO_ENDPOINT = "no_endpoint"  # its channel has none
    NO_ADDRESS = "no_address"  # the company knows no e-mail or phone of the customer
    UNKNOWN = "unknown"  # may have been sent; trying again might tell the customer twice


UNFINISHED: Final = frozenset({Status.SENDING, Status.WAITING})
_FINAL: Final = 1 << 31


class OutreachOutcome(msgspec.Struct, frozen=True, gc=False):
    """How far a decision has come, or what became of it; of several the highest `version` holds.

    `detail` says why in words of our own, such as a status code: never what an endpoint wrote.
    """

    decision_id: str
    customer: str
    rule: str
    channel: str
    status: Status
    at_ms: int
    attempts: int = 0  # begun, the present one included
    detail: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.status not in UNFINISHED

    @property
    def version(self) -> int:
        """Grows with every step, so records in any order leave the last; what is final wins."""
        return _FINAL * self.final + 2 * self.attempts + (self.status is not Status.SENDING)

    def key(self) -> str:
        """Kafka key: that of the decision."""
        return f"{self.customer}\0{self.decision_id}"
