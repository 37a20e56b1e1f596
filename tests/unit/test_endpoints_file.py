"""The endpoints file: what is read, and errors that name line, field and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.settings import secret
from sinks.dispatch.endpoints import Endpoints, EndpointsError, load_endpoints
from tests.unit.test_signature import SECRET

FILE = """\
webhook: {url: "https://crm.example.com/o", secret: CRM_SECRET}
call_task:
  url: https://crm.example.com/tasks
  secret: CRM_SECRET
  headers: {Authorization: CRM_TOKEN}
  timeout: 3
sms: {url: "https://sms.example.com/s", secret: CRM_SECRET, to: yes, concurrency: 2}
email:
  host: mail.example.com
  from: خدمات مشتریان <care@example.com>
  username: care
  password: MAIL_PASSWORD
survey_link: {link: "https://ask.example.com/s", secret: CRM_SECRET, by: email}
kafka:
address: {url: "https://crm.example.com/a", secret: CRM_SECRET}
"""
ENVIRON = {"CRM_SECRET": SECRET, "CRM_TOKEN": "Bearer t0ken", "MAIL_PASSWORD": "p4ss"}


def read(folder: Path, text: str, environ: dict[str, str] | None = None) -> Endpoints:
    path = folder / "endpoints.yaml"
    path.write_text(text, encoding="utf-8")
    given = ENVIRON if environ is None else environ

    def of(name: str) -> SecretStr:
        return secret(name, given)

    return load_endpoints(path, of)


def test_every_key_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, FILE)
    assert found.call_task is not None
    assert found.sms is not None
    assert found.email is not None
    assert (found.call_task.timeout, found.call_task.concurrency) == (3.0, 8)
    assert (found.sms.to, found.sms.concurrency) == (True, 2)
    assert str(found.email.sender) == "خدمات مشتریان <care@example.com>"
    assert (found.email.port, found.email.tls) == (587, "starttls")
    assert found.kafka is not None
    assert read(tmp_path, "kafka:\n").model_fields_set == {"kafka"}
    for value in ENVIRON.values():
        assert value not in repr(found)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("webhook:", "web_hook:", "1: web_hook: is not known; known: webhook, call_task, sms, em"),
        ("secret: CRM_SECRET}", "x: y}", "1: webhook.secret: is missing; add it"),
        ('"https://crm.example.com/o"', "crm", "1: webhook.url: is no URL; write one such as"),
        ("https://crm.example.com/o", "https://me:pw@crm/o", "1: webhook.url: has a login or a"),
        ("https://crm.example.com/o", "http://[::1", "1: webhook.url: is no URL; write one such"),
        (
            "  secret: CRM_SECRET\n",
            "  secret: whsec_abc\n",
            "4: call_task.secret: is no name of",
        ),
        (
            "  secret: CRM_SECRET\n",
            "  secret: JOURNEY_S\n",
            "4: call_task.secret: is no name of",
        ),
        ("  secret: CRM_SECRET\n", "  secret: NO_SUCH\n", "4: call_task.secret: the environment"),
        (
            "  secret: CRM_SECRET\n",
            "  secret: CRM_TOKEN\n",
            "4: call_task.secret: what the envi",
        ),
        ("CRM_TOKEN", "NO_TOKEN", "5: call_task.headers.Authorization: the environment variable N"),
        (
            "timeout: 3",
            "timeout: 60",
            "6: call_task.timeout: is '60'; should be less than or",
        ),
        ("concurrency: 2", "concurrency: 0", "7: sms.concurrency: is '0'; should be greater than"),
        ("  host: mail.example.com\n", "", "8: email.host: is missing; add it"),
        ("<care@example.com>", "", "10: email.from: is no sender; write it as Care <care@exam"),
        ("  username: care\n", "", "8: email: needs username and password, or neither"),
        ("  username", "  tls: none\n  username", "8: email: would send its password in the clear"),
        ("MAIL_PASSWORD", "NO_PASSWORD", "12: email.password: the environment variable NO_PASSWO"),
        ("by: email", "by: fax", "13: survey_link.by: is 'fax'; should be 'email' or 'sms'"),
        ("sms:", "x:", "7: x: is not known; known: webhook, call_task, sms, email, survey_link, k"),
        ("kafka:", "kafka: {topic: t}", "14: kafka.topic: is not known; known: "),
        ("address:", "#address:", "1: email needs the endpoint address, which tells where to"),
        ("timeout: 3", "ca: /nowhere.pem", "6: call_task.ca: No such file or directory"),
        (FILE, "address: {url: 'http://a/', secret: CRM_SECRET}", "1: names no channel; known:"),
        (FILE, "", "1: names no channel; known: webhook, call_task"),
    ],
)
def test_a_fault_is_told_with_line_field_and_fix(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert old in FILE
    with pytest.raises(EndpointsError) as refused:
        read(tmp_path, FILE.replace(old, new, 1))
    told = str(refused.value)
    lines = [line.removeprefix(f"{tmp_path / 'endpoints.yaml'}:") for line in told.splitlines()]
    assert any(line.startswith(fault) for line in lines), told
    assert "pydantic" not in told
    for value in ENVIRON.values():
        assert value not in told


def test_a_survey_needs_the_channel_it_goes_by(tmp_path: Path) -> None:
    text = 'survey_link: {link: "https://a.example/s", secret: CRM_SECRET, by: sms}'
    with pytest.raises(EndpointsError, match="survey_link goes by sms, which is not there"):
        read(tmp_path, text)
