"""The guard agent: requests of rules to decisions, one place for all customers."""

from __future__ import annotations

import msgspec

from schemas.outcome import OutreachDecision, OutreachRequest
from schemas.state import part_of_key
from streams import metrics
from streams.changelog import Changelog
from streams.core.guard import Guard
from streams.core.rules import RuleSet
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(OutreachRequest).decode
decode_decision = msgspec.json.Decoder(OutreachDecision).decode


class Decisions:
    """The guard of a partition over the log of what it decided, which is its memory."""

    def __init__(self, ruleset: RuleSet, log: Changelog) -> None:
        self.guard, self.log = Guard(ruleset), log
        for decision in sorted(map(decode_decision, log.store.values()), key=_made):
            self.guard.remember(decision)

    def close(self) -> None:
        """Let go of the store."""
        self.log.close()


def merge_decisions(known: bytes, news: bytes) -> bytes:
    """Of two decisions on one request, the earlier: it may have been told to somebody.

    Of two copies of one, that which names fewer identifiers: one of them was erased.
    """
    return min(known, news, key=lambda one: _made(decode_decision(one)))


def _made(decision: OutreachDecision) -> tuple[int, int]:
    return decision.decided_ms, len(decision.identifiers)


async def decide(decisions: Decisions, chunk: Chunk, now_ms: int) -> None:
    """Decide a chunk of `outreach.requests`, each request once.

    The outreach topic is the agent's own changelog. Of decisions that were under way when a worker
    died, the first so many are in it, since they go to one partition in order; the others were
    never told to anybody and are made anew. A request without a value asks to forget a customer
    who was erased, or, under the key of a part, an identifier in what was decided on its customer.
    """
    pairs: list[tuple[bytes, bytes | None]] = []
    made: list[tuple[OutreachDecision, int]] = []
    for record in chunk:
        if record.value is None:
            customer, identifier = part_of_key(record.key or b"")
            if identifier:
                pairs += _unnamed(decisions, dict(pairs), customer, identifier)
            else:
                pairs += [(_key(customer, id_), None) for id_ in decisions.guard.erase(customer)]
            continue
        request = _decode_request(record.value)
        decision = decisions.guard.decide(request, now_ms)
        if decision is not None:
            pairs.append((decision.key().encode(), _encode(decision)))
            made.append((decision, request.received_ms))
    log = decisions.log
    for key in await log.append(pairs):
        if (value := log.get(key)) is not None:  # decided by a worker that owned this before
            decisions.guard.remember(decode_decision(value))
    await log.restate()
    for decision, received_ms in made:
        metrics.OUTREACH.labels(decision.rule, str(decision.taken).lower()).inc()
        if decision.suppressed_by:
            metrics.OUTREACH_SUPPRESSED.labels(decision.rule, decision.suppressed_by).inc()
        if received_ms:
            metrics.OUTREACH_SECONDS.observe(max(0, now_ms - received_ms) / 1000)


async def sweep(decisions: Decisions, now_ms: int) -> None:
    """Take out of the changelog what matters no more: only the ledger has it then."""
    await decisions.log.append(
        [
            (_key(customer, decision_id), None)
            for customer, decision_id in decisions.guard.forget(now_ms)
        ]
    )


def _unnamed(
    decisions: Decisions, pending: dict[bytes, bytes | None], customer: str, identifier: str
) -> list[tuple[bytes, bytes | None]]:
    """Decisions on a customer that name an identifier, without it."""
    found: list[tuple[bytes, bytes | None]] = []
    for id_ in decisions.guard.decided_on(customer):
        key = _key(customer, id_)
        value = pending[key] if key in pending else decisions.log.get(key)
        if value is None:
            continue
        decision = decode_decision(value)
        if identifier in decision.identifiers:
            left = [name for name in decision.identifiers if name != identifier]
            found.append((key, _encode(msgspec.structs.replace(decision, identifiers=left))))
    return found


def _key(customer: str, decision_id: str) -> bytes:
    return f"{customer}\0{decision_id}".encode()
