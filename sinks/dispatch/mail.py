"""E-mail by SMTP, a connection for each message, in threads of its own."""

from __future__ import annotations

import asyncio
import re
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from schemas.outcome import OutreachDecision, Status
from schemas.settings import secret
from sinks.dispatch.endpoints import Mail, Secrets, context_of
from sinks.dispatch.message import email
from sinks.dispatch.verdict import Verdict, of_smtp
from sinks.dispatch.webhook import Addresses

_DOT: Final = re.compile(rb"(?m)^\.")
_OFFERED: Final = 354


class MailSender:
    """E-mails of one server.

    SMTP has no idempotency key. So what may have been accepted is not sent again: its outcome is
    `unknown`, and the Message-ID tells the two apart in the server's log.
    """

    repeatable = False

    def __init__(self, endpoint: Mail, addresses: Addresses, secrets: Secrets = secret) -> None:
        self._endpoint, self._addresses = endpoint, addresses
        self._password = secrets(endpoint.password) if endpoint.password is not None else None
        self._threads = ThreadPoolExecutor(endpoint.concurrency, "mail")

    async def send(self, decision: OutreachDecision) -> Verdict:
        """One attempt: the address, then the message."""
        found = await self._addresses.find(decision, "email")
        if isinstance(found, Verdict):
            return found
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._send, decision, found)

    async def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, decision: OutreachDecision, to: str) -> Verdict:
        try:
            smtp = self._connect()
        except (smtplib.SMTPException, OSError) as error:
            return Verdict(Status.WAITING, _told(error), healthy=False)
        try:
            return self._converse(smtp, decision, to)
        finally:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    def _connect(self) -> smtplib.SMTP:
        endpoint = self._endpoint
        host, port, timeout = endpoint.host, endpoint.port, endpoint.timeout
        if endpoint.tls == "implicit":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=timeout, context=context_of(endpoint)
            )
        else:
            smtp = smtplib.SMTP(host, port, timeout=timeout)
        try:
            if endpoint.tls == "starttls":
                smtp.starttls(context=context_of(endpoint))
            if endpoint.username is not None and self._password is not None:
                smtp.login(endpoint.username, self._password.get_secret_value())
            smtp.ehlo_or_helo_if_needed()
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _converse(self, smtp: smtplib.SMTP, decision: OutreachDecision, to: str) -> Verdict:
        sender = self._endpoint.sender
        mail = email(decision, sender, to, time.time_ns() // 1_000_000)
        content = _DOT.sub(b"..", mail.as_bytes())  # RFC 5321, 4.5.2; it ends with a line break
        try:
            code, _ = smtp.mail(sender.addr_spec)
            if code != 250:  # the server would not have us, whoever the recipient is
                return Verdict(Status.WAITING, f"{code} to MAIL", healthy=False)
            code, _ = smtp.rcpt(to)
            if code not in {250, 251}:
                return of_smtp(code, "RCPT")
            code, _ = smtp.docmd("DATA")
            if code != _OFFERED:
                return of_smtp(code, "DATA")
        except (smtplib.SMTPException, OSError) as error:
            return Verdict(Status.WAITING, _told(error), healthy=False)
        try:
            smtp.send(content + b".\r\n")
            code, _ = smtp.getreply()
        except (smtplib.SMTPException, OSError) as error:
            # The message may be on its way: RFC 5321, 4.5.3.2.6 has it that both may happen.
            return Verdict(Status.UNKNOWN, f"{_told(error)} after the message", healthy=False)
        return Verdict(Status.SENT, str(code)) if code == 250 else of_smtp(code, "the message")


def _told(error: Exception) -> str:
    """An error without what the server wrote, which may name the recipient."""
    code = getattr(error, "smtp_code", None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"
