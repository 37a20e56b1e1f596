"""Kafka ACLs: what each role may do, and no more. The table is made of the topics they use."""

from __future__ import annotations

from typing import Final

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import ClusterAuthorizationFailedError, KafkaError, SecurityDisabledError

from schemas import topics
from schemas.settings import Settings
from streams.cluster import DISPATCH, READERS, SINK, WORKERS, administer
from streams.rights import NEEDS, Permission, each


class AclsRefused(Exception):
    """The cluster does not let us see or change its ACLs; the message says why."""


# Who may read or write may describe too. Idempotent writing needs no right of its own since
# Kafka 3.0.
ROLES: Final[dict[str, tuple[Permission, ...]]] = {
    "producer": tuple(each("write", (topics.TOUCHPOINTS, topics.DEAD_LETTERS))),
    "worker": NEEDS[WORKERS],
    "sink": NEEDS[SINK],
    "receiver": tuple(each("write", (topics.REQUESTS,))),
    "dispatch": (
        *each("read", (topics.OUTREACH, topics.OUTCOMES)),
        *each("write", (topics.OUTCOMES, topics.MESSAGES, topics.TOUCHPOINTS)),
        Permission("read", "group", DISPATCH),
    ),
    "operator": (
        *(
            permission
            for operation in ("create", "read", "write", "alter", "describe_configs")
            for permission in each(operation, topics.TOPICS)
        ),
        *each("alter_configs", topics.TOPICS),
        *(Permission("read", "group", group) for group in READERS),
    ),
}


def grant(settings: Settings, role: str, principal: str) -> int:
    """Give a principal, as `User:name`, what its role needs; how many ACLs were not there yet.

    What it has besides stays. Raises AclsRefused and BrokerUnavailable.
    """
    with administer(settings) as admin:
        present = set(_held(admin, principal))
        wanted = [_acl(permission, principal) for permission in ROLES[role]]
        missing = [acl for acl in wanted if acl not in present]
        refused = admin.create_acls(missing)["failed"] if missing else ()
    if refused:
        raise _refusal(refused[0])
    return len(missing)


def held(settings: Settings, principal: str) -> list[Permission]:
    """What a principal is allowed, sorted. Raises AclsRefused and BrokerUnavailable."""
    with administer(settings) as admin:
        return sorted(
            Permission(
                acl.operation.name.lower(),
                acl.resource_pattern.resource_type.name.lower(),
                acl.resource_pattern.resource_name,
            )
            for acl in _held(admin, principal)
        )


def _held(admin: KafkaAdminClient, principal: str) -> list[ACL]:
    anything = ACLFilter(
        principal=principal,
        host="*",
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePatternFilter(
            ResourceType.ANY, None, ACLResourcePatternType.LITERAL
        ),
    )
    try:
        found: list[ACL] = admin.describe_acls(anything)[0]
    except KafkaError as error:
        raise _refusal(type(error)) from error
    return found


def _acl(permission: Permission, principal: str) -> ACL:
    return ACL(
        principal=principal,
        host="*",
        operation=ACLOperation[permission.operation.upper()],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(
            ResourceType[permission.resource.upper()], permission.name
        ),
    )


def _refusal(error: type[KafkaError]) -> AclsRefused:
    if error is SecurityDisabledError:
        return AclsRefused(
            "Kafka has no authorizer: set its authorizer.class.name to "
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        )
    if error is ClusterAuthorizationFailedError:
        return AclsRefused(
            "Kafka does not let this user see or change ACLs: log in as one of its super.users "
            "(JOURNEY_KAFKA_USERNAME)"
        )
    return AclsRefused(f"Kafka refuses the ACLs: {error.__name__}")
