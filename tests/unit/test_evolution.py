"""Workers of two versions read each other's records: docs/deployment.md has the rules."""

from __future__ import annotations

import msgspec
import pytest

from schemas import outcome, state
from sinks.decode import decode
from streams.agents.identity import decode_link
from tests.sink_records import ONE_OF_EACH, record

# Fields that every record in a topic has, since it had them from the first version on. A field
# that comes later is not in the records of before, and so needs a default. A record of a topic that
# is itself new is listed here once it was released.
ALWAYS = {
    "JourneyStep": "event_id occurred_ms anchor channel type stage identifiers account text "
    "language sentiment distress scorer fields amount_minor currency properties received_ms",
    "DeadLetter": "topic partition offset reason field message raw received_ms",
    "Link": "a b event_id occurred_ms source",
    "Member": "identifier customer epoch",
    "CustomerHealth": "customer evaluated_ms identifiers touchpoints health sentiment distress "
    "segment account components reasons reached",
    "AccountHealth": "account evaluated_ms health band contacts bands weakest reasons",
    "OutreachRequest": "decision_id customer identifiers rule channel requested_ms why health "
    "distress",
    "OutreachDecision": "decision_id customer rule decided_ms taken why health distress",
    "PartUpdate": "anchor customer epoch n part",
    "Part": "",
    "Promise": "",
    "Mark": "at_ms event_id value",
    "AnchorState": "",
}


STRUCTS = [
    found
    for module in (outcome, state)
    for found in vars(module).values()
    if isinstance(found, type)
    and issubclass(found, msgspec.Struct)
    and found.__module__ == module.__name__
]


@pytest.mark.parametrize("name", ALWAYS)
def test_a_record_of_before_is_read(name: str) -> None:
    (struct,) = [struct for struct in STRUCTS if struct.__name__ == name]
    required = {field.name for field in msgspec.structs.fields(struct) if field.required}
    assert required <= set(ALWAYS[name].split()), (
        "give the field a default: records in the topics do not have it"
    )


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_a_record_of_a_later_version_is_read(struct: type[msgspec.Struct]) -> None:
    assert not struct.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("topic", ONE_OF_EACH)
def test_the_sink_passes_over_a_field_it_does_not_know(topic: str) -> None:
    later = msgspec.to_builtins(ONE_OF_EACH[topic]) | {"of_a_later_version": {"a": [1]}}
    found = decode(topic, [record(topic, msgspec.json.encode(later))])
    assert found == decode(topic, [record(topic, ONE_OF_EACH[topic])])


def test_a_worker_fills_in_what_a_record_of_before_has_not() -> None:
    before = b'{"a":"cookie:1","b":"email:h","event_id":"e","occurred_ms":1,"source":"web"}'
    assert decode_link(before).action is outcome.Action.SEEN
