"""SQL is made of our own words; values are bound. Checked on the source of every module.

Text that reads like SQL may have put into it: constants of the module (upper case), and what is
listed here with the reason why it is no value that somebody sent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    *("analytics", "sinks", "commands", "deploy", "streams", "producers", "privacy", "alerts"),
)
# The front passes on whole statements of its client, who may send any. Dashboards are text for
# Grafana, made when nobody has sent anything yet.
EXEMPT = (ROOT / "deploy" / "local" / "clickhouse", ROOT / "deploy" / "grafana")
SQL = re.compile(
    r"\b(SELECT|INSERT INTO|FROM|WHERE|ALTER TABLE|DELETE|TRUNCATE|DROP|CREATE|JOIN|LIMIT|"
    r"GROUP BY|ORDER BY|AND|OR|AS|IN|SYSTEM|OVER)\b.*"
    r"|%\(\w*\)s|\w+ = %|dictGet\w*\(|toDateTime64\(|JSONExtract\w*\("
)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
# (module, expression) -> why it is our own
OURS = {
    ("analytics.dead_letters", "condition"): "terms with the names of _EQUAL and _SINCE",
    ("analytics.dead_letters", "most"): "LIMIT and an int",
    ("analytics.dead_letters", "limit"): "an int, by the type of the option",
    ("analytics.dead_letters", "name"): "a field of Selection",
    ("analytics.funnel", "levels(source, owner, within, conditions)"): "made here",
    ("analytics.funnel", "', '.join(conditions)"): "Step.condition",
    ("analytics.funnel", "' OR '.join(conditions)"): "Step.condition",
    ("analytics.funnel", "condition"): "Step.condition",
    ("analytics.funnel", "source.format(final='')"): "_SOURCES",
    ("analytics.funnel", "source.format(final='FINAL')"): "_SOURCES",
    ("analytics.funnel", "within"): "ledger.period",
    ("analytics.funnel", "owner"): "_SOURCES",
    ("analytics.funnel", "flags"): "Step.condition and its index",
    ("analytics.funnel", "matched"): "indices",
    ("analytics.funnel", "i"): "an index",
    ("analytics.funnel", "i - 1"): "an index",
    ("analytics.funnel", "layer"): "made here",
    ("analytics.funnel", "reached"): "indices",
    ("analytics.ledger", "comparison"): "one of two signs",
    ("analytics.ledger", "name"): "since or until",
    ("analytics.paths", "condition"): "Step.condition",
    ("analytics.paths", "within"): "ledger.period",
    ("analytics.replay", "rows_of(client, table)"): "a constant's item",
    ("analytics.steps", "name"): "the caller's prefix of parameters",
    ("analytics.steps", "key"): "the same with an index",
    ("analytics.steps", "_COLUMNS[field]"): "an item of _COLUMNS, by a field that is in it",
    ("analytics.timeline", "', '.join((field.name for field in fields(Moment)))"): "our fields",
    ("privacy.erasure", "REDACTED % sets"): "a condition with lists that are in a table",
    ("privacy.erasure", "columns"): "fields of Receipt",
    ("privacy.erasure", "command"): "made of this table",
    ("privacy.erasure", "doomed.condition"): "a Store of privacy.stores",
    ("privacy.erasure", "erasure"): "a UUID of our own",
    ("privacy.erasure", "kinds"): "names of lists",
    ("privacy.erasure", "ledger.condition"): "a Store of privacy.stores",
    ("privacy.erasure", "ledger.table"): "a Store of privacy.stores",
    ("privacy.erasure", "mentions.condition"): "a Store of privacy.stores",
    ("privacy.erasure", "sets['events']"): "a list that is in a table",
    ("privacy.erasure", "rows_of(client, table)"): "a Store of privacy.stores",
    ("privacy.person", "store.condition"): "a Store of privacy.stores",
    ("privacy.person", "store.table"): "a Store of privacy.stores",
    ("sinks.clickhouse", "name.replace('`', '')"): "the database of our own setting, quoted",
    ("sinks.clickhouse", "on"): "the cluster of our own setting, letters and digits",
    ("sinks.repair", "rows_of(client, table)"): "an item of a constant",
    ("sinks.repair", "column"): "an item of a constant",
    ("sinks.rescore", "', '.join(_NAMES)"): "columns",
    ("sinks.shards", "SHARDED[name]"): "a column of a constant",
    ("sinks.shards", "_replicated(body, _SHARD)"): "of a migration file",
    ("sinks.shards", "_replicated(body, _WHOLE)"): "of a migration file",
    ("sinks.shards", "body"): "of a migration file",
    ("sinks.shards", "name"): "a table of a migration file",
    ("sinks.shards", "on"): "the cluster of our own setting, letters and digits",
    ("sinks.shards", "place"): "the same and the database",
    ("sinks.shards", "everywhere(client)"): "the cluster that the database names",
    ("sinks.shards", "database"): "our own setting, letters and digits",
    ("sinks.writer", "table.name"): "a Table of sinks.rows",
    ("sinks.writer", "names"): "columns of a Table of sinks.rows",
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def constant_text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(constant_text(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return constant_text(node.left) + constant_text(node.right)
    return ""


def put_in(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """Line and expression of everything that is put into a text that reads like SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and SQL.search(constant_text(node)):
            yield from (
                (node.lineno, value.value)
                for value in node.values
                if isinstance(value, ast.FormattedValue)
            )
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add | ast.Mod)
            and SQL.search(constant_text(node))
        ):
            sides = (node.left, node.right)
            yield from ((node.lineno, side) for side in sides if not constant_text(side))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"format", "format_map", "replace", "substitute"}
            and SQL.search(constant_text(node.func.value))
        ):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield from ((node.lineno, value) for value in values)


def foreign(module: str, source: str) -> list[str]:
    """What is put into SQL and is not known to be ours, with its line."""
    return [
        f"{module}:{line}: {ast.unparse(expression)}"
        for line, expression in put_in(ast.parse(source))
        if not (
            (isinstance(expression, ast.Name) and CONSTANT.fullmatch(expression.id))
            or isinstance(expression, ast.Constant)
            or (module, ast.unparse(expression)) in OURS
        )
    ]


FILES = [
    path
    for name in SOURCES
    for path in sorted((ROOT / name).rglob("*.py"))
    if not any(path.is_relative_to(folder) for folder in EXEMPT)
]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_values_are_bound(path: Path) -> None:
    assert foreign(module_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "query",
    [
        "f'SELECT 1 FROM t WHERE a = {value}'",
        "'SELECT 1 FROM t WHERE a = ' + value",
        "'SELECT 1 FROM t WHERE a = %s' % value",
        "'SELECT 1 FROM t WHERE a = {}'.format(value)",
        "f'channel = %(x)s AND {field} = 1'",
    ],
)
def test_a_value_put_into_sql_is_seen(query: str) -> None:
    assert foreign("analytics.new", f"client.execute({query})")


def test_what_is_listed_as_ours_is_still_there() -> None:
    used = {
        (module_of(path), ast.unparse(expression))
        for path in FILES
        for _, expression in put_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert set(OURS) <= used, sorted(set(OURS) - used)
