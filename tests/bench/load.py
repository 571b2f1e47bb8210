"""A load generator: keep-alive connections that each send the next request as soon as the answer is complete."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import NamedTuple


class Load(NamedTuple):
    """What one run measured."""

    seconds: float
    latencies: list[float]  # in seconds, one for each answered request

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return len(self.latencies) / self.seconds


KEY = "bench"
MORE = ("x-wine-purpose: check", f"x-api-key: {KEY}", "", "")  # nobody wants to know about these wines


def request(path: str, body: bytes) -> bytes:
    """The bytes of one POST."""
    head = ("POST {} HTTP/1.1", "host: bench", "content-type: application/json", "content-length: {}", *MORE)
    return "\r\n".join(head).format(path, len(body)).encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], deadline: float, most: int) -> None:
        self.requests, self.deadline, self.most = requests, deadline, most
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._received = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._received += data
            head, gap, body = self._received.partition(b"\r\n\r\n")
            if not gap:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(self._received.decode()))
                self._transport.close()
                return
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._received, self._missing = b"", length - len(body)
        if self._missing == 0:
            self.latencies.append(time.perf_counter() - self._sent)
            if len(self.latencies) < self.most and time.perf_counter() < self.deadline:
                self._send()
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error) if error else self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self.requests))


async def _run(port: int, requests: Sequence[bytes], connections: int, seconds: float, most: int) -> Load:
    loop, endless, started = asyncio.get_running_loop(), cycle(requests), time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Connection(endless, started + seconds, most), "127.0.0.1", port)
        for _ in range(connections)
    ]
    for _, connection in made:
        await connection.done
    latencies = [latency for _, connection in made for latency in connection.latencies]
    return Load(time.perf_counter() - started, latencies)


def run(port: int, requests: Sequence[bytes], connections: int, seconds: float = 3600.0, most: int = 10**9) -> Load:
    """Send `requests` in turn over so many connections, for so long or until each has had `most` answers."""
    return asyncio.run(_run(port, requests, connections, seconds, most))
