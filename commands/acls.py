"""`journey acls`: least privilege on a Kafka cluster of one's own."""

from __future__ import annotations

import re

import click

from commands.shell import Shell, out, print_json, verb
from deploy.kafka.acls import ROLES, grant, held
from streams.rights import Permission

_PRINCIPAL = re.compile(r"User:.+", re.DOTALL)
_role = click.argument("role", type=click.Choice(list(ROLES)))


def _as_principal(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if _PRINCIPAL.fullmatch(value) is None or value == "User:*":
        raise click.BadParameter(f"{value!r} is not a user: write it as Kafka does, User:name")
    return value


_principal = click.argument("principal", callback=_as_principal)


@click.group()
def acls() -> None:
    """What producer, worker, sink and operator may do in Kafka, and giving it to users.

    Users are as Kafka names them: User:name.
    """


@acls.command()
@_role
@click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
@verb
def role(_shell: Shell, role: str, as_json: bool) -> None:
    """What a role needs."""
    _show(ROLES[role], as_json)


@acls.command()
@_principal
@click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
@verb
def show(shell: Shell, principal: str, as_json: bool) -> None:
    """What a user is allowed now."""
    _show(held(shell.settings(), principal), as_json)


@acls.command("grant")
@_role
@_principal
@verb
def grant_(shell: Shell, role: str, principal: str) -> None:
    """Give a user what a role needs; what it has stays.

    Log in as one of the cluster's super.users, or as one who may alter the cluster.
    """
    added = grant(shell.settings(), role, principal)
    out.print(f"{principal} is {role}: {added} ACLs added", highlight=False, markup=False)


def _show(permissions: tuple[Permission, ...] | list[Permission], as_json: bool) -> None:
    if as_json:
        print_json([permission._asdict() for permission in permissions])
        return
    for operation, resource, name in permissions:
        out.print(f"{operation:<16} {resource} {name}", highlight=False, markup=False)
