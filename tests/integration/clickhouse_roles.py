"""The local ClickHouse with a user of deploy/clickhouse/users.sql in the place of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from sinks.migrate import statements
from tests.servers import running_clickhouse

USERS_SQL: Final = Path(__file__).parents[2] / "deploy" / "clickhouse" / "users.sql"
# chDB knows one user, default. What our front needs of the engine besides a client's statements:
# its server would do these by itself.
_FRONT: Final = (
    "GRANT SELECT ON system.settings",
    "GRANT KILL QUERY, CREATE TEMPORARY TABLE ON *.*",
    "GRANT READ ON FILE",
    "GRANT SHOW DATABASES ON default.*",
)
_GRANT: Final = re.compile(r"(GRANT .+ ON .+) TO (\w+)", re.DOTALL)


def sql_statements() -> list[str]:
    """The file's statements, without comments."""
    source = USERS_SQL.read_text(encoding="utf-8")
    return statements("\n".join(x for x in source.splitlines() if not x.startswith("--")))


def grants_of(role: str) -> list[str]:
    """The file's grants to a role, without the role."""
    found = filter(None, (_GRANT.fullmatch(statement) for statement in sql_statements()))
    return [" ".join(grant[1].split()) for grant in found if grant[2] == role]


@contextmanager
def running_as(role: str, folder: Path) -> Iterator[str]:
    """URL of a ClickHouse on the folder whose only user has the role's grants."""
    folder.mkdir(exist_ok=True)
    users, config = folder / "users.xml", folder / "config.xml"
    users.write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>"
        + _user("default", (*grants_of(role), *_FRONT))
        + _user("journey_admin", grants_of("journey_admin"))
        + "</users></clickhouse>"
    )
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>")
    with running_clickhouse(folder / "store", config) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/journey"


def _user(name: str, grants: Iterable[str]) -> str:
    queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    return (
        f"<{name}><password></password><networks><ip>::/0</ip></networks>"
        "<profile>default</profile><quota>default</quota>"
        f"<grants>{queries}</grants></{name}>"
    )
