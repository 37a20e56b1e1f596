"""What a statement is, as far as the protocol has to know: does it stream, does it take data."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\]|\\.|'')*')
    |(?P<name>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<word>\w+)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)

_TEMPORARY = re.compile(r"\s*(CREATE|DROP)\s+(OR\s+REPLACE\s+)?TEMPORARY\b", re.IGNORECASE)
_SELECTING = frozenset({"SELECT", "WITH", "FROM"})
_DESCRIBING = frozenset({"SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"})


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def keyword(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose rows follow as blocks.

    ``into`` is the statement up to its columns and ``clauses`` what stands between them and
    VALUES; ``target`` is a table or ``FUNCTION f(...)``; ``columns`` is the text between the
    parentheses after it, when there is any.
    """

    into: str
    clauses: str
    target: str
    columns: str | None


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its FORMAT clause taken off: over this protocol the client formats."""

    text: str
    first: str
    insert: Insert | None
    totals: bool

    @property
    def shapes_session(self) -> bool:
        """It changes what later statements of the same client mean."""
        return self.first in {"USE", "SET"} or _TEMPORARY.match(self.text) is not None

    @property
    def selects(self) -> bool:
        return self.first in _SELECTING

    @property
    def describes(self) -> bool:
        return self.first in _DESCRIBING


def parse_statement(text: str) -> Statement:
    first = next(_tokens(text), None)
    if first is None:
        return Statement(text, "", None, totals=False)
    keyword = _first_keyword(text)
    if keyword == "INSERT":
        return Statement(text, keyword, _parse_insert(text), totals=False)
    tokens = list(_tokens(text)) if keyword in _SELECTING | _DESCRIBING else []
    plain = _without_format(text, tokens)
    totals = any(one.keyword == "WITH" and two.keyword == "TOTALS" for one, two in pairwise(tokens))
    return Statement(plain, keyword, None, totals=totals)


def _tokens(text: str) -> Iterator[Token]:
    depth = 0
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup or "sign", match[0]
        if kind == "blank":
            continue
        depth -= piece == ")"
        yield Token(kind, piece, match.start(), match.end(), depth)
        depth += piece == "("


def _first_keyword(text: str) -> str:
    for token in _tokens(text):
        if token.text != "(":
            return token.keyword
    return ""


def _without_format(text: str, tokens: list[Token]) -> str:
    """Cut ``FORMAT Name`` (and a closing semicolon), where they end the statement."""
    while tokens and tokens[-1].text == ";":
        text = text[: tokens.pop().start]
    for index in range(len(tokens) - 2, 0, -1):
        token, name = tokens[index], tokens[index + 1]
        if token.depth == 0 and token.keyword == "FORMAT" and name.kind == "word":
            rest = tokens[index + 2 :]
            if not rest or rest[0].keyword == "SETTINGS":
                return text[: token.start] + text[name.end :]
    return text


def _parse_insert(text: str) -> Insert | None:
    """The parts of an INSERT that awaits blocks, or None for one that carries its own rows."""
    tokens = _tokens(text)
    current = _next_of(tokens)
    for word in ("INSERT", "INTO", "TABLE"):
        if current is not None and current.keyword == word:
            current = _next_of(tokens)
    if current is None:
        return None
    start, after = current.start, current.end
    function = current.keyword == "FUNCTION"
    if function:
        current = _next_of(tokens)
    # a name, dotted names, and a function's arguments belong to the target
    current = _next_of(tokens)
    while current is not None and current.text == ".":
        _next_of(tokens)
        current = _next_of(tokens)
    if function and current is not None and current.text == "(":
        current = _after_parenthesis(tokens)
    after = current.start if current else len(text)
    target = text[start:after].strip()
    columns: str | None = None
    if current is not None and current.text == "(":
        opened = current.end
        first = _next_of(tokens)
        if first is None or first.keyword in _SELECTING:
            return None
        closing = first if first.text == ")" and first.depth == 0 else _closing(tokens)
        if closing is None:
            return None
        columns = text[opened : closing.start]
        after = closing.end
        current = _next_of(tokens)
    clauses = _until_rows(text[after:])
    return None if clauses is None else Insert(text[:after], clauses, target, columns)


def _until_rows(text: str) -> str | None:
    """What of ``text`` precedes VALUES or FORMAT, or None when the rows do not come as blocks."""
    tokens = _tokens(text)
    for token in tokens:
        if token.depth:
            continue
        if token.keyword in _SELECTING or token.keyword in {"WATCH", "EXPLAIN"}:
            return None
        if token.keyword in {"VALUES", "FORMAT"}:
            if token.keyword == "FORMAT":
                _next_of(tokens)
            rest = _next_of(tokens)
            return text[: token.start] if rest is None or rest.text == ";" else None
    return text.rstrip().removesuffix(";")


def _next_of(tokens: Iterator[Token]) -> Token | None:
    return next(tokens, None)


def _closing(tokens: Iterator[Token]) -> Token | None:
    return next((token for token in tokens if token.text == ")" and token.depth == 0), None)


def _after_parenthesis(tokens: Iterator[Token]) -> Token | None:
    _closing(tokens)
    return _next_of(tokens)
