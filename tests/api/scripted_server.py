"""A scripted HTTP server on loopback: raw sockets, one thread per connection.

It records what reached it, byte for byte, also of requests that never became complete, and answers from a list of
`Reply`s, one per request, the last one for ever.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """One answer.

    `when` is `early` (before the body is read; the connection then stays until the client is done, as with nginx's
    lingering close), `brusque` (the same, but closed at once, unread bytes and all: the client gets a reset), `late`,
    or `never` (close without an answer).
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    when: str = "late"
    promise: int | None = None
    """Content-Length, if it is to differ from the truth; -1: none, the end of the connection ends the body."""
    delay: float = 0
    """Seconds before the answer."""
    drip: float = 0
    """Seconds after each piece of the body."""
    drip_head: bool = False
    """The head comes in pieces of one byte, with `drip` after each."""
    pieces: int = 1
    reset: bool = False
    """End the connection with RST."""
    read: int = 1 << 62
    """Bytes of the request's body to read before acting."""
    prelude: bytes = b""
    """Sent before the answer's first byte, as soon as the request's head is there."""

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def head(self, size: int) -> bytes:
        length = size if self.promise is None else self.promise
        fields = {"X-Request-ID": "srv-1", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
        if length >= 0:
            fields["Content-Length"] = str(length)
        else:
            fields["Connection"] = "close"
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{k}: {v}" for k, v in (fields | self.headers).items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    complete: bool = False

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(urlsplit(self.target).query).items()}


class Server:
    """See the module."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.script: list[Reply] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._client_is_done = threading.Event()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client_is_done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            for each in self._open:
                _shutdown(each)
        for thread in self._threads:
            thread.join(10)

    def settled(self, requests: int = 1) -> list[Seen]:
        """What was seen, once so many requests have begun and every connection has ended on the server's side."""
        self._client_is_done.set()
        deadline = time.monotonic() + 10
        while len(self.seen) < requests and time.monotonic() < deadline:
            time.sleep(0.005)
        for thread in list(self._threads):
            thread.join(10)
            assert not thread.is_alive()
        self._client_is_done.clear()
        return self.seen

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.add(connection)
            while self._one(connection):
                pass
        except OSError:
            pass  # The client went away: what it had sent is in `seen`, which is what tests look at.
        finally:
            with self._lock:
                self._open -= {plain, connection}
            connection.close()

    def _one(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return False
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        seen = Seen(method, target, headers)
        with self._lock:
            reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.seen.append(seen)
        if reply.prelude:
            connection.sendall(reply.prelude)
        return self._answer(connection, seen, reply, rest)

    def _answer(self, connection: socket.socket, seen: Seen, reply: Reply, rest: bytes) -> bool:
        wanted = int(seen.headers.get("content-length", "0"))
        if reply.when not in {"early", "brusque"}:
            buffer = bytearray(rest)
            while len(buffer) < min(wanted, reply.read):
                try:
                    part = connection.recv(1 << 20)
                except OSError:
                    part = b""
                if not part:
                    break
                buffer += part
            seen.body, seen.complete = bytes(buffer), len(buffer) == wanted
            if len(buffer) < min(wanted, reply.read):
                return False
        time.sleep(reply.delay)
        if reply.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.when == "never" or reply.reset:
            return False
        self._send(connection, reply)
        if reply.when == "early":
            connection.shutdown(socket.SHUT_WR)
            self._client_is_done.wait(10)
        return seen.headers.get("connection") != "close" and reply.promise is None and reply.when == "late"

    def _send(self, connection: socket.socket, reply: Reply) -> None:
        body = reply.encoded()
        head = reply.head(len(body))
        for byte in head if reply.drip_head else ():
            connection.sendall(bytes((byte,)))
            time.sleep(reply.drip)
        if not reply.drip_head:
            connection.sendall(head)
        step = max(1, -(-len(body) // reply.pieces))
        for start in range(0, len(body), step):
            connection.sendall(body[start : start + step])
            time.sleep(reply.drip)


def _shutdown(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # Closed by its own thread in the meantime.
