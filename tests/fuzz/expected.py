"""What became of the records, held against what had to, by kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.records import Sample

_SHOWN: Final = 10


@dataclass(slots=True)
class Account:
    """Counts by kind, and the records that were not treated as they had to be."""

    sent: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def note(self, sample: Sample, reasons: list[str], rows: int) -> None:
        """A record that has these dead letters and so many rows of the ledger."""
        self.sent[sample.kind] += 1
        self.accepted[sample.kind] += rows
        self.rejected[sample.kind].update(reasons)
        if sample.reasons:
            right = not rows and len(reasons) == 1 and reasons[0] in sample.reasons
        else:
            right = rows == 1 and not reasons
        if not right:
            self.wrong.append(
                f"{sample.kind}: {rows} rows, dead letters {reasons}, expected "
                f"{sorted(sample.reasons) or 'one row'}: {(sample.raw or b'')[:200]!r}"
            )

    def lines(self) -> Iterable[str]:
        """A table for people."""
        yield f"{'kind':<26} {'sent':>9} {'accepted':>9} {'rejected':>9}  by reason"
        for kind in sorted(self.sent, key=lambda kind: -self.sent[kind]):
            reasons = self.rejected[kind]
            told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
            yield (
                f"{kind:<26} {self.sent[kind]:>9,} {self.accepted[kind]:>9,} "
                f"{reasons.total():>9,}  {told}"
            )
        rejected = sum(reasons.total() for reasons in self.rejected.values())
        yield (
            f"{'all':<26} {self.sent.total():>9,} {self.accepted.total():>9,} {rejected:>9,}  "
            f"treated wrongly: {len(self.wrong):,}"
        )
        yield from self.wrong[:_SHOWN]
