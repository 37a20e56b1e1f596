"""A pipeline whose every move is decided outside: who reads next, how much, and who dies when."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from random import Random

import msgspec
from faust.types import TP
from pydantic import SecretStr

from schemas import topics
from schemas.outcome import AccountHealth, Link, erasure_key
from schemas.settings import Settings
from schemas.state import Part
from streams.core.journey import unite
from streams.delivery import Outgoing
from streams.worker import Worker
from tests.agents.broker import Broker, Crashed, Disk, ListWorker, Place

SETTINGS = Settings(identity_key=SecretStr("key"))
_HANDLERS = {
    topics.TOUCHPOINTS.name: Worker.on_touchpoints,
    topics.MEMBERS.name: Worker.on_touchpoints,
    topics.LINKS.name: Worker.on_links,
    topics.PARTS.name: Worker.on_parts,
    topics.CONTACTS.name: Worker.on_contacts,
    topics.REQUESTS.name: Worker.on_requests,
}
_SINGLE = [topic.name for topic in topics.TOPICS if topic.partitions == 1]
_READ = (topics.PARTS.name, topics.CONTACTS.name)
_COMPACTED = [topic.name for topic in topics.TOPICS if topic.compacted]


class Pipeline:
    """A worker over a broker of lists; it dies, starts again and is replaced as told."""

    def __init__(
        self,
        partitions: int,
        disks: list[Disk | None] | None = None,
        settings: Settings = SETTINGS,
    ) -> None:
        self.partitions = partitions
        self.settings = settings
        self.broker = Broker()
        self.disks = disks or [None]
        self.zombies: list[Zombie] = []
        self.sources: list[Place] = [
            (topic, partition)
            for topic in _HANDLERS
            for partition in range(1 if topic in _SINGLE else partitions)
        ]
        self.worker = self._worker(0)
        self.positions: dict[Place, int] = defaultdict(int)
        self.committed: dict[Place, int] = defaultdict(int)
        self.crashes = 0
        self.haunted = False

    def _worker(self, disk: int) -> ListWorker:
        taken = [zombie.worker.disk for zombie in self.zombies]
        free = [disk for disk in self.disks if disk is None or disk not in taken]
        worker = ListWorker(self.settings, self.broker, self.partitions, free[disk % len(free)])
        worker.assign([TP(*place) for place in self.sources])
        return worker

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

    def restart(self, disk: int = 0) -> None:
        """The worker is gone with all its memory; another begins where offsets were committed."""
        self.crashes += 1
        self.worker = self._worker(disk)
        self.positions = self.committed.copy()
        self.worker.announced = {0: self.committed[topics.LINKS.name, 0]}

    async def stop(self, place: Place, most: int | None, after: int, disk: int) -> None:
        """The worker stands still in the midst of a chunk, and another takes its place.

        It holds the delivery that comes after some others. Its disk stays its own.
        """
        chunk = self.broker.read(place, self.positions[place], most)
        if not chunk or len(self.zombies) > 1:
            return
        worker = self.worker
        worker.fuse, worker.freeze = None, after
        work = asyncio.ensure_future(_HANDLERS[place[0]](worker, chunk))
        standstill = asyncio.ensure_future(worker.frozen.wait())
        await asyncio.wait([work, standstill], return_when=asyncio.FIRST_COMPLETED)
        standstill.cancel()
        worker.freeze = None
        if work.done():
            work.result()
            self.positions[place] = chunk[-1].offset + 1
            return
        positions = self.positions | {place: chunk[-1].offset + 1}
        self.zombies.append(Zombie(worker, work, defaultdict(int, positions)))
        self.haunted = True
        self.restart(disk)

    async def go_on(self, chance: Random) -> None:
        """A worker that stood still goes on: it dies as it does, or does a chunk more."""
        if not self.zombies:
            return
        zombie = self.zombies.pop(0)
        zombie.worker.chance = chance
        zombie.worker.fuse = chance.choice([None, 0, 1])
        zombie.worker.thaw.set()
        try:
            await zombie.work
            place = chance.choice(self.sources)
            if chunk := self.broker.read(place, zombie.positions[place], chance.randint(1, 3)):
                await _HANDLERS[place[0]](zombie.worker, chunk)
        except Crashed:
            return

    def cut_power(self, chance: Random) -> None:
        """The machine stops: every disk is as it was some writes ago."""
        for disk in self.disks:
            if disk is not None:
                disk.fall_back(chance)
        self.restart(chance.randrange(9))

    def lose_all_but_the_last(self, chance: Random) -> None:
        """Compaction leaves one record of each key; another worker starts with an older disk."""
        for place in list(self.broker.logs):
            if place[0] in _COMPACTED:
                self.broker.compact(place, self.broker.ends[place])
        self.cut_power(chance)

    async def revoke(self, partition: int, most: int) -> None:
        """A rebalance takes a partition away; another worker does some; it comes back.

        In between the worker looks after it once more: a sweep that slept through the rebalance.
        """
        lost = [place for place in self.sources if place[1] == partition]
        places = [TP(*place) for place in lost]
        self.worker.revoke(places)
        self.worker.fuse = self.worker.freeze = None
        await self.worker.sweep(places)
        other = ListWorker(self.settings, self.broker, self.partitions)
        other.assign(places)
        other.announced = {0: self.committed[topics.LINKS.name, 0]}
        for place in lost:
            if chunk := self.broker.read(place, self.committed[place], most):
                await _HANDLERS[place[0]](other, chunk)
                self.committed[place] = chunk[-1].offset + 1
        other.revoke(places)
        self.worker.assign(places)
        for place in lost:
            self.positions[place] = self.committed[place]
        self.worker.announced = {0: self.committed[topics.LINKS.name, 0]}

    def commit(self, chance: Random) -> None:
        """Commit some of the partitions' positions."""
        for place in self.sources:
            if chance.random() < 0.5:
                self.committed[place] = self.positions[place]

    async def compact(self, chance: Random) -> None:
        """Compact some of the compacted partitions.

        Where workers overwrite each other, compaction may not be quicker than the owner, who looks
        every minute, nor than those who read; `min.compaction.lag.ms` sees to that.
        """
        if self.haunted:
            await self.audit()
        for place in list(self.broker.logs):
            if place[0] in _COMPACTED and chance.random() < 0.5:
                lags = self.haunted and place[0] in _READ
                end = self.positions[place] if lags else self.broker.ends[place]
                self.broker.compact(place, before=end)

    async def audit(self) -> None:
        """The owner looks for what others wrote."""
        self.worker.fuse = None
        for partition in range(self.partitions):
            await self.worker.audit(TP(topics.TOUCHPOINTS.name, partition))
            await self.worker.audit(TP(topics.PARTS.name, partition))
            await self.worker.audit(TP(topics.CONTACTS.name, partition))
        await self.worker.audit(TP(topics.LINKS.name, 0))

    def commit_all(self) -> None:
        """Commit every partition's position."""
        self.committed = self.positions.copy()

    async def settle(self) -> None:
        """Process everything, until nothing is left to read."""
        while self.zombies:
            await self.go_on(Random(len(self.zombies)))
        moves = True
        while moves:
            await self.audit()
            moves = any([await self.process(place, None) for place in self.sources])

    async def look(self, chance: Random) -> None:
        """A minute passes for one partition; the worker may die of it."""
        self.worker.fuse = chance.choice([None, None, 0, 1, 2])
        topic = chance.choice([topics.PARTS.name, topics.CONTACTS.name])
        try:
            await self.worker.sweep([TP(topic, chance.randrange(self.partitions))])
        except Crashed:
            self.restart()

    async def sweep(self) -> None:
        """Everything settles, a minute passes, and what that brings settles too."""
        for topic in (topics.PARTS.name, topics.CONTACTS.name):
            await self.settle()
            await self.worker.sweep(TP(topic, n) for n in range(self.partitions))
        await self.settle()

    async def accounts(self) -> dict[str, AccountHealth]:
        """Each account that has contacts as it was last published, at no moment."""
        found: dict[str, AccountHealth] = {}
        for partition in range(self.partitions):
            accounts = await self.worker.accounts.get(partition)
            for name in accounts.names():
                account = accounts.published(name)
                assert account is not None
                assert account.contacts == len(accounts.members(name))
                if account.contacts:
                    assert name not in found
                    found[name] = plain(account)
        return found

    async def states(self) -> dict[str, bytes]:
        """Each customer's united state, as it would be written down."""
        found: dict[str, bytes] = {}
        for partition in range(self.partitions):
            customers = await self.worker.customers.get(partition)
            for name in customers.names():
                if parts := customers.state(name).parts():
                    assert name not in found
                    found[name] = written(unite(parts))
        return found

    async def anchors(self) -> dict[str, bytes]:
        """Each customer's state by what the anchors' owners know."""
        parts: dict[str, list[Part]] = defaultdict(list)
        for partition in range(self.partitions):
            states = await self.worker.anchors.get(partition)
            log = self.broker.logs[topics.ANCHORS.name, partition]
            for anchor in {(record.key or b"").decode() for record in log}:
                state = states.get(anchor)
                if state is not None and state.part.n:
                    parts[state.customer or anchor].append(state.part)
        return {name: written(unite(found)) for name, found in parts.items()}


@dataclass(slots=True)
class Zombie:
    """A worker that stands still and will not know that it owns nothing any more."""

    worker: ListWorker
    work: asyncio.Future[None]
    positions: dict[Place, int]


def plain(account: AccountHealth) -> AccountHealth:
    """An account's health at no moment, without memory."""
    fields = {name: getattr(account, name) for name in AccountHealth.__struct_fields__}
    return AccountHealth(**{**fields, "evaluated_ms": 0})


def written(part: Part) -> bytes:
    """A part's bytes, whatever the order in which its measures came up."""
    return json.dumps(msgspec.to_builtins(part, str_keys=True), sort_keys=True).encode()
