"""Who sends a deck of deliveries, and a receiver that is killed and started again meanwhile.

Belongs here: sending, repeating, killing. What is sent is in `deck`, what has to come of it in `test_chaos`.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from deck import LIMIT, Delivery
from receivers import Receiver

SENDERS = 8
PATIENCE = 240
"""Seconds after which everybody gives up; pytest would end the test at 300, and say less."""


@dataclass(slots=True)
class Answer:
    """What a delivery was answered in the end, and `new` of a 202."""

    delivery: Delivery
    status: int
    new: bool = False


@dataclass(slots=True)
class Sender:
    """Delivers each of a deck until it is answered with anything but 503: what was not comes again, later."""

    url: str
    deck: Sequence[Delivery]
    answers: list[Answer] = field(default_factory=list)
    unanswered: Counter[str] = field(default_factory=Counter)
    """Attempts without an answer: `not connected` or `broken off`; and those answered 503."""
    in_doubt: set[str] = field(default_factory=set)
    """Event ids of which an answer may have got lost on its way."""
    _waiting: deque[Delivery] = field(default_factory=deque)
    _end: float = 0

    def start(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Begin, in threads of the pool."""
        self._waiting.extend(self.deck)
        self._end = time.monotonic() + PATIENCE
        return [pool.submit(self._send) for _ in range(SENDERS)]

    def give_up(self) -> None:
        """Let the threads end, if they have not."""
        self._end = 0

    def is_over(self) -> bool:
        """Whether each has its answer. Raises when it is too late for that."""
        if len(self.answers) >= len(self.deck):
            return True
        if time.monotonic() > self._end:
            raise TimeoutError(f"{len(self.answers)} of {len(self.deck)} deliveries have an answer: {self.unanswered}")
        return False

    def _send(self) -> None:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            while not self.is_over():
                try:
                    delivery = self._waiting.popleft()
                except IndexError:  # the last ones are under way
                    time.sleep(0.01)
                    continue
                if not self._deliver(connection, delivery):
                    self._waiting.append(delivery)
                    time.sleep(0.02)
        finally:
            connection.close()

    def _deliver(self, connection: http.client.HTTPConnection, delivery: Delivery) -> bool:
        trouble = "not connected"
        try:
            if connection.sock is None:
                connection.connect()
            trouble = "broken off"
            status, text = _post(connection, urlsplit(self.url).path, delivery)
        except (OSError, http.client.HTTPException):
            connection.close()
        else:
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                new = status == HTTPStatus.ACCEPTED and json.loads(text)["new"]
                self.answers.append(Answer(delivery, status, new))
                return True
            trouble = "503"
        self.unanswered[trouble] += 1
        if delivery.event and trouble == "broken off":
            self.in_doubt.add(delivery.event.event_id)
        return False


def _post(connection: http.client.HTTPConnection, path: str, delivery: Delivery) -> tuple[int, bytes]:
    chunked = delivery.way == "chunks"
    connection.putrequest("POST", path)
    if delivery.token is not None:
        connection.putheader("X-Ntropy-Token", delivery.token)
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        length = len(delivery.body) if delivery.way == "whole" else LIMIT + 1
        connection.putheader("Content-Length", str(length))
    connection.endheaders(delivery.body if delivery.way == "whole" else None)
    if chunked:
        # All of it is read before it is refused: bytes left unread would reset the connection and lose the answer.
        body = delivery.body.ljust(LIMIT)
        connection.send(b"%x\r\n%b\r\n1\r\n \r\n" % (len(body), body))
    with connection.getresponse() as answer:
        return answer.status, answer.read()


class Doomed:
    """A receiver that is killed once a sender has so many answers, and starts again on its port."""

    def __init__(self, folder: Path, seed: int, kills: int, deliveries: int) -> None:
        # Bound and never listening: while no receiver is there, nobody else gets the port, not even a sender that
        # connects to it and is given it for its own end.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        self._now = self._start(folder)
        self.url = self._now.url
        some = random.Random(seed).sample(range(deliveries // 20, deliveries * 9 // 10), kills)
        self._deaths = sorted(some)
        self.kills = 0

    def die(self, sender: Sender) -> None:
        """Until it has died as often as it is to."""
        for death in self._deaths:
            while len(sender.answers) < death:
                if sender.is_over():
                    return
                time.sleep(0.002)
            self._now.kill()
            self.kills += 1
            self._now = self._start(self._now.folder)

    def _start(self, folder: Path) -> Receiver:
        return Receiver(folder, "--port", str(self._port.getsockname()[1]))

    def stop(self) -> int:
        """An orderly end; returns the exit code."""
        code = self._now.stop()
        self._port.close()
        return code

    def log(self) -> str:
        """What all of its lives have written to stderr."""
        return self._now.log()
