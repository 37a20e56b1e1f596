"""`journey dead`: what was rejected and why, and sending it again."""

from __future__ import annotations

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click
from clickhouse_driver import Client
from rich.progress import Progress

from analytics import dead_letters
from analytics.dead_letters import Letter, Selection
from commands.inspect import Duration, Moment
from commands.plain import plain
from commands.render_dead import show_letter, show_letters
from commands.send import wait_for_pipeline
from commands.shell import Refused, Shell, bar, err, ledger, out, print_json, verb
from producers.publisher import Publisher
from producers.replay import Hashing, Mended, edits, mend
from schemas.decode import Rejection
from schemas.outcome import Reason
from schemas.settings import Settings
from sinks import replays
from sinks.shards import reload_identities
from streams.core.identifiers import own_identifiers

SHOWN: Final = 20
_BATCH: Final = 500  # letters looked up, sent and recorded at a time
T = TypeVar("T")


class Since(click.ParamType):
    """A time, or how long ago: 2026-11-22T08:30:00+03:30, or 12h."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Epoch milliseconds; fails for what is neither."""
        if isinstance(value, int):
            return value
        if "-" in value:
            moment: int = Moment().convert(value, param, ctx)
            return moment - 86_399_999 if len(value) == 10 else moment
        return _now_ms() - round(Duration().convert(value, param, ctx) * 1000)


_json = click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
_reason = click.option("--reason", type=click.Choice([r.value for r in Reason]), help="Only these.")
_topic = click.option("--topic", help="Only those of `touchpoints`, or of `import:FILE`.")
_since = click.option("--since", type=Since(), default=0, help="Received since: a time, or 12h.")


@click.group()
def dead() -> None:
    """Dead letters: records that are no touchpoints, with the reason, the field and the bytes.

    To mend some: `journey dead list --reason bad_time --json > letters.jsonl`, edit `raw` in the
    file, `journey dead replay --edit letters.jsonl`.
    """


@dead.command("list")
@_reason
@_topic
@_since
@click.option("--limit", type=click.IntRange(1), help="At most so many; 20 for people by default.")
@click.option("--all", "replayed", is_flag=True, help="Those that were replayed, too.")
@_json
@verb
def list_(
    shell: Shell,
    reason: str | None,
    topic: str | None,
    since: int,
    limit: int | None,
    replayed: bool,
    as_json: bool,
) -> None:
    """Count the letters that wait by reason, and list the newest.

    With --json, every letter chosen is one object a line, which `replay --edit` reads.
    """
    chosen = Selection(reason, topic, since, replayed=replayed)
    with ledger(shell.settings()) as client:
        if as_json:
            for letter in dead_letters.letters(client, chosen, limit):
                print_json(_as_json(letter))
            return
        counts = dead_letters.counts(client, chosen)
        show_letters(out, counts, dead_letters.letters(client, chosen, limit or SHOWN))


@dead.command()
@click.argument("id_", metavar="ID")
@_json
@verb
def show(shell: Shell, id_: str, as_json: bool) -> None:
    """All of one letter: where it came from, what is wrong, its bytes, and its replay."""
    with ledger(shell.settings()) as client:
        letter = dead_letters.find(client, [id_]).get(id_)
    if letter is None:
        raise Refused(f"{plain(id_)} is no dead letter: see `journey dead list --all`")
    if as_json:
        print_json(_as_json(letter))
    else:
        show_letter(out, letter)


@dead.command()
@_reason
@_topic
@_since
@click.option(
    "--edit",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of `list --json`, with `raw` mended.",
)
@click.option("--partial", is_flag=True, help="Leave out what would be rejected again.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--wait", is_flag=True, help="Return when everything sent can be queried.")
@_json
@verb
def replay(
    shell: Shell,
    reason: str | None,
    topic: str | None,
    since: int,
    edit: Path | None,
    partial: bool,
    dry_run: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Send dead letters again: those of a file, or those that wait, as they are.

    All are judged first as the workers will judge them. Where one would be rejected again nothing
    is sent, unless with --partial. A letter is sent once, whatever breaks off on the way.
    """
    settings = shell.settings()
    chosen = Selection(reason, topic, since, until_ms=_now_ms())
    if edit is not None and (reason or topic or since):
        raise Refused("--edit names its letters itself: leave out --reason, --topic and --since")
    began = time.monotonic()
    with ledger(settings) as client, ledger(settings) as hand:

        def candidates() -> Iterator[_Candidate]:
            return _waiting(client, chosen) if edit is None else _of_file(client, edit)

        job = _Replay(settings, hand, datetime.now(UTC))
        with bar() as progress:
            report = job.judge(candidates(), progress)
        for line in report.refused[:SHOWN]:
            err.print(plain(line), highlight=False, soft_wrap=True, markup=False)
        bad = report.reasons.total()
        if bad and not partial:
            raise Refused(
                f"{bad:,} of {report.letters:,} letters would be rejected again, so nothing was "
                "sent: mend them (--edit), or leave them out (--partial)"
            )
        if not dry_run:
            if report.begun:
                wait_for_pipeline(settings)
            with bar() as progress:
                job.send(candidates(), report, progress)
            if wait:
                wait_for_pipeline(settings)
                reload_identities(client)
    report.seconds = time.monotonic() - began
    _tell(report, dry_run, as_json)


class _Candidate(NamedTuple):
    """A letter as it is to be sent. `where` names it for people; `fault` says why it cannot be."""

    where: str
    letter: Letter | None
    raw: bytes
    fault: str = ""


@dataclass(slots=True)
class _Report:
    """What became of the letters.

    `done` were replayed before, `stored` are in the ledger; of `begun` a replay broke off.
    """

    letters: int = 0
    replayed: int = 0
    done: int = 0
    stored: int = 0
    begun: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Replay:
    def __init__(self, settings: Settings, client: Client, now: datetime) -> None:
        self._settings, self._client, self._now = settings, client, now
        key, region = settings.identity_key_bytes(), settings.phone_region
        own = own_identifiers(settings.own_contacts, key, region)
        self._hashing = Hashing(key, region, own)

    def judge(self, candidates: Iterable[_Candidate], progress: Progress) -> _Report:
        """Look at every letter, and send none."""
        report = _Report()
        task = progress.add_task("judging letters", total=None)
        for candidate in candidates:
            report.letters += 1
            progress.update(task, completed=report.letters)
            if candidate.letter is not None and candidate.letter.replayed_ms:
                report.done += 1
                continue
            verdict = self._verdict(candidate)
            if isinstance(verdict, Mended):
                report.replayed += 1
                if candidate.letter is not None and candidate.letter.sent_as is not None:
                    report.begun += 1
                continue
            report.reasons[verdict.reason] += 1
            if len(report.refused) < SHOWN:
                what = f"{verdict.field}: {verdict.message}" if verdict.field else verdict.message
                report.refused.append(f"{candidate.where}: {what}")
        return report

    def send(self, candidates: Iterable[_Candidate], report: _Report, progress: Progress) -> None:
        """Send the letters that are touchpoints, on record before and after."""
        task = progress.add_task("sending letters", total=report.replayed)
        report.replayed = 0
        with Publisher(self._settings) as publisher:
            for batch in _batches(candidates):
                mended = {}
                for candidate in batch:
                    letter, verdict = candidate.letter, self._verdict(candidate)
                    if letter and not letter.replayed_ms and isinstance(verdict, Mended):
                        mended[letter] = verdict
                self._send(mended, publisher, report)
                progress.update(task, advance=len(mended))

    def _send(self, mended: dict[Letter, Mended], publisher: Publisher, report: _Report) -> None:
        stored = self._stored(mended)
        fresh = {k: v for k, v in mended.items() if k not in stored}
        replays.begin(self._client, {k.id: v.event_id for k, v in fresh.items()}, _now_ms())
        for touchpoint in fresh.values():
            publisher.publish(touchpoint.wire, touchpoint.anchor)
        publisher.flush()
        replays.finish(self._client, {k.id: v.event_id for k, v in mended.items()}, _now_ms())
        report.replayed += len(fresh)
        report.stored += len(stored)

    def _stored(self, mended: dict[Letter, Mended]) -> set[Letter]:
        """Letters whose touchpoint is in the ledger.

        The workers remember an anchor's newest event ids only, so what is there is not sent again.
        A replay that broke off may have sent what is not there yet, or otherwise edited.
        """
        begun = {letter: letter.sent_as for letter in mended if letter.sent_as is not None}
        arrived = dead_letters.events_in_ledger(self._client, begun.values())
        keys = {m.event_id: (m.anchor, m.occurred_ms) for m in mended.values()}
        known = dead_letters.in_ledger(self._client, keys)
        return {
            letter
            for letter, touchpoint in mended.items()
            if touchpoint.event_id in known or begun.get(letter) in arrived
        }

    def _verdict(self, candidate: _Candidate) -> Mended | Rejection:
        if candidate.fault:
            return Rejection(Reason.MALFORMED_JSON, "", candidate.fault)
        assert candidate.letter is not None
        if candidate.letter.cut and candidate.raw == candidate.letter.raw:
            return Rejection(Reason.OVERSIZED, "", candidate.letter.message)
        return mend(candidate.letter.id, candidate.raw, self._hashing, self._now)


def _waiting(client: Client, chosen: Selection) -> Iterator[_Candidate]:
    """Letters that wait, as they are."""
    for letter in dead_letters.letters(client, chosen):
        yield _Candidate(letter.id, letter, letter.raw)


def _of_file(client: Client, path: Path) -> Iterator[_Candidate]:
    """Letters of a file, each with what is stored of it."""
    for batch in _batches(edits(path)):
        known = dead_letters.find(client, [edit.id for edit in batch])
        for edit in batch:
            letter = known.get(edit.id)
            fault = edit.fault
            if letter is None and not fault:
                fault = f"{edit.id} is no dead letter, or is older than 30 days: keep its id"
            yield _Candidate(f"{path}:{edit.number}", letter, edit.raw, fault)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        yield batch


def _as_json(letter: Letter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": letter.id,
        "received_at": _stamp(letter.received_ms),
        "reason": letter.reason,
        "field": letter.field,
        "message": letter.message,
    }
    try:
        found["raw"] = letter.raw.decode()
    except UnicodeDecodeError:
        found["raw_base64"] = b64encode(letter.raw).decode()
    if letter.cut:
        found["cut"] = letter.cut
    if letter.replayed_ms:
        found["replayed_at"] = _stamp(letter.replayed_ms)
        found["event_id"] = str(letter.sent_as)
    return found


def _tell(report: _Report, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "letters": report.letters,
                "replayed": report.replayed,
                "already_replayed": report.done,
                "already_stored": report.stored,
                "rejected": dict(report.reasons),
                "sent": not dry_run,
                "seconds": round(report.seconds, 2),
            }
        )
        return
    verb_ = "would be sent" if dry_run else "sent"
    rest = [
        f"{count:,} {what}"
        for count, what in (
            (report.stored, "in the ledger already"),
            (report.done, "replayed before"),
            (report.reasons.total(), "left, as they would be rejected again"),
        )
        if count
    ]
    told = "; ".join([f"{report.replayed:,} of {report.letters:,} letters {verb_}", *rest])
    out.print(f"{told} ({report.seconds:.1f} s)", highlight=False)


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
