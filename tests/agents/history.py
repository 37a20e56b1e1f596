"""A pipeline whose every move is decided outside: who reads next, how much, and who dies when."""

from __future__ import annotations

import json
from collections import defaultdict
from random import Random

import msgspec
from faust.types import TP
from pydantic import SecretStr

from schemas import topics
from schemas.outcome import Link, erasure_key
from schemas.settings import Settings
from schemas.state import Part
from streams.app import Worker
from streams.core.journey import unite
from streams.delivery import Outgoing
from tests.agents.broker import Broker, Crashed, ListWorker, Place

SETTINGS = Settings(identity_key=SecretStr("key"))
_HANDLERS = {
    topics.TOUCHPOINTS.name: Worker.on_touchpoints,
    topics.MEMBERS.name: Worker.on_touchpoints,
    topics.LINKS.name: Worker.on_links,
    topics.PARTS.name: Worker.on_parts,
    topics.REQUESTS.name: Worker.on_requests,
}
_SINGLE = [topic.name for topic in topics.TOPICS if topic.partitions == 1]
_COMPACTED = [topic.name for topic in topics.TOPICS if topic.compacted]


class Pipeline:
    """One worker over a broker of lists; it dies and starts again as told."""

    def __init__(self, partitions: int, settings: Settings = SETTINGS) -> None:
        self.partitions = partitions
        self.settings = settings
        self.broker = Broker()
        self.worker = ListWorker(settings, self.broker, partitions)
        self.sources: list[Place] = [
            (topic, partition)
            for topic in _HANDLERS
            for partition in range(1 if topic in _SINGLE else partitions)
        ]
        self.positions: dict[Place, int] = defaultdict(int)
        self.committed: dict[Place, int] = defaultdict(int)
        self.crashes = 0

    def send(self, partition: int, key: str, value: bytes) -> None:
        """A producer's touchpoint."""
        self.broker.append(Outgoing(topics.TOUCHPOINTS.name, partition, key.encode(), value))

    def enter(self, entry: Link) -> None:
        """An operator's entry."""
        value = msgspec.json.encode(entry)
        self.broker.append(Outgoing(topics.LINKS.name, 0, entry.key().encode(), value))

    def erase(self, identifiers: list[str]) -> None:
        """Somebody asks that these be forgotten."""
        key = erasure_key(identifiers).encode()
        self.broker.append(Outgoing(topics.LINKS.name, 0, key, None))

    async def process(self, place: Place, most: int | None) -> bool:
        """Hand the next chunk of a partition to its agent; False where there is none."""
        chunk = self.broker.read(place, self.positions[place], most)
        if not chunk:
            return False
        try:
            await _HANDLERS[place[0]](self.worker, chunk)
        except Crashed:
            self.restart()
        else:
            self.positions[place] = chunk[-1].offset + 1
        return True

    def restart(self) -> None:
        """The worker is gone with all its memory; another begins where offsets were committed."""
        self.crashes += 1
        self.worker = ListWorker(self.settings, self.broker, self.partitions)
        self.positions = self.committed.copy()

    def revoke(self, partition: int) -> None:
        """A rebalance takes a partition away and gives it back."""
        lost = [place for place in self.sources if place[1] == partition]
        self.worker.revoke(TP(*place) for place in lost)
        for place in lost:
            self.positions[place] = self.committed[place]

    def commit(self, chance: Random) -> None:
        """Commit some of the partitions' positions."""
        for place in self.sources:
            if chance.random() < 0.5:
                self.committed[place] = self.positions[place]

    def compact(self, chance: Random) -> None:
        """Compact some of the compacted partitions."""
        for place in list(self.broker.logs):
            if place[0] in _COMPACTED and chance.random() < 0.5:
                self.broker.compact(place)

    def commit_all(self) -> None:
        """Commit every partition's position."""
        self.committed = self.positions.copy()

    async def settle(self) -> None:
        """Process everything, until nothing is left to read."""
        self.worker.fuse = None
        while any([await self.process(place, None) for place in self.sources]):
            pass

    async def states(self) -> dict[str, bytes]:
        """Each customer's united state, as it would be written down."""
        found: dict[str, bytes] = {}
        for partition in range(self.partitions):
            customers = await self.worker.customers.get(partition)
            for name, state in customers.states.items():
                if parts := state.parts():
                    assert name not in found
                    found[name] = written(unite(parts))
        return found


def written(part: Part) -> bytes:
    """A part's bytes, whatever the order in which its measures came up."""
    return json.dumps(msgspec.to_builtins(part, str_keys=True), sort_keys=True).encode()
