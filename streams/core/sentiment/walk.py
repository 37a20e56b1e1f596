"""The walk: polarity and cues of one text in a single pass over its tokens."""

from typing import Final

from streams.core.sentiment.distress import duration_weight
from streams.core.sentiment.lexicon import Cue, Kind, Node
from streams.core.sentiment.tokens import BREAK, Token

# Plain integers: members of an enumeration would halve the speed of the walk.
(
    _NEUTRAL,
    _STEM,
    _IDIOM,
    _EMOJI,
    _THANKS,
    _RESOLVE,
    _VERB,
    _NEGVERB,
    _NEGATION,
    _INTENSIFIER,
    _CONTRAST,
    _CONCEDE,
    _ASK,
    _LEAD,
    _WHY,
    _WISH,
    _NUMBER,
    _UNIT,
    _REQUEST,
    _COMMON,
    _BREAK,
    _QUESTION,
) = map(int, Kind)
_REPEAT: Final = int(Cue.REPEAT)

# How far, in tokens, each relation reaches.
FORWARD_NEGATION: Final = 5
BACKWARD_NEGATION: Final = 3
NEAR: Final = 2  # for negations of a complaint of several words: "no long wait"
INTENSITY: Final = 3
RESOLVING: Final = 4
DURATION: Final = 2

MOST_BOOST: Final = 2000  # factor of intensifiers in a row, in thousandths

# A negated verb at or beyond this polarity is a complaint of its own rather than a copula.
FULL_VERB: Final = -300
NEGATIONS: Final = frozenset({_NEGVERB, _NEGATION})
PRAISE_ASKED: Final = 150  # what is left of praise in a question or request, in thousandths
WEAK: Final = 600  # in a question, polarity below this is the subject, not an opinion


# What the walk found, in milli-units; a plain tuple, since making a named one takes as long as
# reading three words.
Walked = tuple[
    int,  # total: sum of polarities, damped and weighted
    int,  # mass: sum of their absolute values, undamped
    int,  # thanks: polarity of thanks, not in total
    int,  # repeated: polarity of "for the third time" and the like, not in total
    list[str],  # words that decided it
    list[tuple[int, int]],  # cues with their weights
    list[int],  # weights of periods named
    bool,  # asked: whether there was a question
]


def _flip(value: int) -> int:
    return -value * 9 // 10 if value > 0 else -value * 65 // 100


def _match(
    tokens: list[Token | None], at: int, node: Node, negated: bool
) -> tuple[int, Node, bool] | None:
    """The longest idiom from `node` on: where it ends, its last node, whether a verb negates it."""
    best = (at, node, negated) if node.entry is not None else None
    if at >= len(tokens):
        return best
    token = tokens[at]
    steps: list[tuple[Node, bool]] = []
    following = node.next
    if token is not None:
        if token.key in following:
            steps.append((following[token.key], negated))
        if token.base != token.key and token.base in following:
            steps.append((following[token.base], negated or token.negated))
    if "*" in following and (token is None or token.kind < _BREAK):
        steps.append((following["*"], negated))
    for step, negates in steps:
        found = _match(tokens, at + 1, step, negates)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best


def _surface(tokens: list[Token | None], start: int, end: int) -> str:
    return " ".join("…" if token is None else token.surface for token in tokens[start:end])


def walk(tokens: list[Token | None]) -> Walked:
    """Read the tokens once; see `Kind` for what each does."""
    tokens.append(BREAK)
    words: list[str] = []
    cues: list[tuple[int, int]] = []
    durations: list[int] = []
    total = mass = thanks = repeated = 0
    asked = False
    skip = 0
    # Of the clause that is being read:
    start = 0  # position of its first token
    clause = 0  # sum of its polarities, without the last one, which may yet be negated
    firm = 0  # part of it that a question does not damp
    last = 0  # the last polarity,
    last_full = 0  # the same before any wish damped it,
    last_at = -9  # where it ended,
    last_open = False  # whether a negation may still flip it,
    last_whole = False  # and whether it was an idiom
    negation_at = -9  # where a negation that waits for its object stood,
    negation_value = 0  # and what it counts if none comes
    boost, boost_at = 1000, -9
    resolve_at = -9
    object_at, object_value = -9, 0  # a word that complains when it is negated, and was not
    number, number_at = 0, -9
    wish = weight = 1000
    ask = request = why = False
    first_cue = 0

    for i, token in enumerate(tokens):
        if token is None or i < skip:
            continue
        kind, value, cue, cue_weight = token.kind, token.value, token.cue, token.weight
        end = i + 1
        negated = closed = False
        surface = token.surface
        for node, negates in token.starts:
            following = node.next
            second = tokens[end]
            if "*" not in following and (
                second is None or (second.key not in following and second.base not in following)
            ):
                continue
            found = _match(tokens, end, node, negates)
            if found is not None and found[0] > end:
                entry = found[1].entry
                if entry is None:
                    continue
                end, _, negated = found
                skip = end
                kind, value, cue, cue_weight = entry.kind, entry.value, entry.cue, entry.weight
                surface = _surface(tokens, i, end)
                # An idiom with a negation in it is not negated once more from outside.
                for word in tokens[i:end]:
                    if word is not None and word.kind in NEGATIONS:
                        closed = True
                break

        if kind == _NEUTRAL:
            if cue:
                cues.append((cue, cue_weight))
            continue

        if kind <= _NEGVERB:
            if kind == _THANKS:
                thanks = max(thanks, value)
                words.append(surface)
                continue
            if cue == _REPEAT and not negated:
                repeated += value
                words.append(surface)
                cues.append((cue, cue_weight))
                continue
            if kind == _EMOJI:
                total += value
                mass += abs(value)
                words.append(surface)
                if cue:
                    cues.append((cue, cue_weight))
                continue
            if kind == _NEGVERB:
                complains = last < 0 and (last_whole or value <= FULL_VERB)
                reach = 1 if complains else BACKWARD_NEGATION
                if last_at >= start and i - last_at <= reach:
                    if last_open:
                        last = _flip(last_full)
                        last_open = False
                        resolve_at = -9
                    continue
                if i - object_at <= BACKWARD_NEGATION:
                    value = min(value, object_value)
                if value <= FULL_VERB:
                    firm += value
            else:
                complains = kind == _IDIOM and value < 0
                if i - negation_at <= (NEAR if complains else FORWARD_NEGATION):
                    negated = negated if closed else not negated
                    negation_at = -9
                if kind == _VERB:
                    if not negated:
                        skip = 0
                        object_at, object_value = end - 1, value
                        continue
                    firm += value
                else:
                    if negated:
                        value = _flip(value)
                        cue = 0
                    if kind == _RESOLVE and not negated:
                        if last < 0 and i - last_at <= RESOLVING:
                            last = 0
                        resolve_at = end
                    elif value < 0 and i - resolve_at < RESOLVING:
                        value = 0
            if i - boost_at <= INTENSITY:
                value = value * boost // 1000
                boost_at = -9
            if closed and value < 0 < last and last_open and i - last_at == 1:
                last = 0  # خوب کار نمی‌کنه: the adverb belongs to the verb
            clause += last
            last_full = value
            if value > 0 and wish != 1000:
                value = value * wish // 1000
            last, last_at = value, end - 1
            last_open = not (negated or closed)
            last_whole = kind == _IDIOM
            mass += abs(value)
            if value:
                words.append(surface)
            if cue:
                cues.append((cue, cue_weight))
        elif kind == _NEGATION:
            negation_at, negation_value = end - 1, value
            if cue:
                cues.append((cue, cue_weight))
        elif kind == _INTENSIFIER:
            boost = min(MOST_BOOST, boost * value // 1000) if i - boost_at <= 1 else value
            boost_at = end - 1
        elif kind == _NUMBER:
            # "half an hour": an article leaves the number before it in force.
            if value != 1 or i - number_at > 1:
                number, number_at = value, end - 1
        elif kind == _UNIT:
            if i - number_at <= DURATION:
                durations.append(duration_weight(number, value))
            if cue:
                cues.append((cue, cue_weight))
        elif kind == _ASK or (kind == _LEAD and i == start):
            ask = True
        elif kind == _WHY:
            why = True
            firm += value
            clause += value
        elif kind == _WISH:
            wish = min(wish, value)
        elif kind == _REQUEST:
            request = True
        elif kind == _CONCEDE:
            weight = weight * value // 1000
        elif kind in (_BREAK, _QUESTION, _CONTRAST):
            if kind == _QUESTION:
                ask = True
            clause += last
            if negation_at >= start and negation_value:
                clause += negation_value
                mass -= negation_value
            if ask and not why:
                asked = True
                opinion = clause - firm
                if opinion > 0:
                    opinion = opinion * PRAISE_ASKED // 1000
                else:
                    opinion = 0 if opinion > -WEAK else opinion // 2
                clause = firm + opinion
                for at in range(first_cue, len(cues)):
                    cues[at] = (cues[at][0], cues[at][1] // 2)
            elif request and clause > 0:
                clause = clause * PRAISE_ASKED // 1000
            total += clause * weight // 1000
            clause = firm = last = 0
            last_at = negation_at = boost_at = resolve_at = object_at = -9
            wish = weight = 1000
            ask = request = why = False
            first_cue = len(cues)
            start = end
            if kind == _CONTRAST:
                total = total * value // 1000
                weight = 1300
    return total, mass, thanks, repeated, words, cues, durations, asked


def waits(cues: list[tuple[int, int]]) -> bool:
    """Whether one of the cues says that the customer waits."""
    return any(cue in (Cue.WAIT, Cue.SILENCE) for cue, _ in cues)
