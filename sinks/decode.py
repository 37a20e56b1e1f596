"""Bytes of our own topics to the structs that tables are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sinks.backlog import Record
from sinks.rows import TOPIC_TABLES

_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    topic: msgspec.json.Decoder(table.record) for topic, table in TOPIC_TABLES.items()
}


class UndecodableRecord(Exception):
    """One of our own records is not what the sink expects: a bug, so the sink stops."""

    def __init__(self, record: Record, fault: str) -> None:
        kind = TOPIC_TABLES[record.topic].record.__name__
        super().__init__(
            f"{record.topic} partition {record.partition} offset {record.offset} "
            f"is not a {kind}: {fault}"
        )
        self.topic = record.topic
        self.partition = record.partition
        self.offset = record.offset


def decode(topic: str, records: Sequence[Record]) -> list[Any]:
    """The structs of a topic's records; tombstones have none. Raises UndecodableRecord."""
    one = _DECODERS[topic].decode
    try:
        return [one(record.value) for record in records if record.value is not None]
    except (msgspec.DecodeError, UnicodeDecodeError):
        for record in records:
            try:
                if record.value is not None:
                    one(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                raise UndecodableRecord(record, str(fault)) from fault
        raise
