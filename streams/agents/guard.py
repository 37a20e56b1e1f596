"""The guard agent: requests of rules to decisions, one place for all customers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from schemas import topics
from schemas.outcome import OutreachDecision, OutreachRequest
from streams import metrics
from streams.core.guard import Guard
from streams.delivery import Outgoing
from streams.transport import Chunk

Deliver = Callable[[list[Outgoing]], Awaitable[None]]
_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(OutreachRequest).decode
decode_decision = msgspec.json.Decoder(OutreachDecision).decode


async def decide(deliver: Deliver, guard: Guard, partition: int, chunk: Chunk, now_ms: int) -> None:
    """Decide a chunk of `outreach.requests`, each request once.

    The outreach topic is the agent's own changelog. Of decisions that were under way when a worker
    died, the first so many are in it, since they go to one partition in order; the others were
    never told to anybody and are made anew.
    """
    made: list[tuple[OutreachDecision, int]] = []
    for record in chunk:
        if record.value is None:
            continue
        request = _decode_request(record.value)
        decision = guard.decide(request, now_ms)
        if decision is not None:
            made.append((decision, request.received_ms))
    await deliver(
        [
            Outgoing(topics.OUTREACH.name, partition, one.key().encode(), _encode(one))
            for one, _ in made
        ]
    )
    for decision, received_ms in made:
        metrics.OUTREACH.labels(decision.rule, str(decision.taken).lower()).inc()
        if decision.suppressed_by:
            metrics.OUTREACH_SUPPRESSED.labels(decision.rule, decision.suppressed_by).inc()
        if received_ms:
            metrics.OUTREACH_SECONDS.observe(max(0, now_ms - received_ms) / 1000)


async def sweep(deliver: Deliver, guard: Guard, partition: int, now_ms: int) -> None:
    """Take out of the changelog what matters no more: only the ledger has it then."""
    await deliver(
        [
            Outgoing(topics.OUTREACH.name, partition, f"{customer}\0{decision_id}".encode(), None)
            for customer, decision_id in guard.forget(now_ms)
        ]
    )
