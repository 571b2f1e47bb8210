"""Around every route: the API key, the metrics, and errors as one kind of answer.

The routes that take wines are answered here, before FastAPI's router: from the body's bytes to the answer's, at the
speed of an empty endpoint. FastAPI documents them, and routes all others.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from secrets import compare_digest
from typing import Any, Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wine_serving.api.body import MOST_PROBLEMS, Bodies
from wine_serving.api.call import JSON, Call
from wine_serving.api.loading import RETRY_SECONDS, Loader
from wine_serving.api.metrics import Metrics
from wine_serving.errors import NoModel, RequestRefused, TableRefused
from wine_serving.predictions import encode

OPEN_ROUTES: Final = frozenset({"/health", "/live", "/docs", "/openapi.json"})  # probes and readers carry no key
THREADS: Final = 2  # for what takes longer than a few requests may wait

_log = logging.getLogger(__name__)
Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A body, and of which kind it is."""

    body: bytes
    kind: bytes = JSON


class Take(NamedTuple):
    """How a route takes bodies: of which kinds, how long, and what it answers; at once, or in a thread."""

    answer: Callable[[Call, bytes], Answer]
    limit: int
    at_once: bool = False
    kinds: tuple[bytes, ...] = (JSON,)


class Middleware:
    """The outermost layer of the app."""

    def __init__(
        self, app: ASGIApp, takes: Mapping[str, Take], loader: Loader, metrics: Metrics, bodies: Bodies, key: str | None
    ) -> None:
        self._app, self._takes, self._bodies = app, takes, bodies
        self._loader, self._metrics = loader, metrics
        self._key = key.encode() if key else None
        self._threads = ThreadPoolExecutor(THREADS, "wines")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong on the way is answered as a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call, status, route = Call(scope), 0, "unknown"
        try:
            self._check_key(call)
            take = self._takes.get(call.path) if scope["method"] == "POST" else None
            if take:
                route = call.path
                answer = await self._taken(take, call, receive)
                status = 200
                await self._send(send, call, status, answer.body, answer.kind)
                return

            async def send_with_ids(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message["headers"], *self._ids(call)]
                await send(message)

            if scope["method"] == "HEAD":  # answered as GET is; the server leaves out the body
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, send_with_ids)
            route = getattr(scope.get("route"), "path", route)
        except (RequestRefused, NoModel, TableRefused) as error:
            refused = _refused(error)
            status = refused.status
            await self._send(send, call, status, *_refusal(call, refused), refused.headers)
        except Exception:
            _log.exception("request %s failed", call.id)
            if status:  # the answer has begun: the server closes the connection
                raise
            status = 500
            failed = RequestRefused(status, "the service failed; its log tells more by the request id")
            await self._send(send, call, status, *_refusal(call, failed))
        finally:
            self._metrics.answered(route, status, call.seconds())

    async def _taken(self, take: Take, call: Call, receive: Receive) -> Answer:
        call.check_body(take.kinds)
        body = await self._bodies.gather(call.headers, receive, take.limit)
        if take.at_once:
            return take.answer(call, body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, take.answer, call, body)

    async def _send(
        self, send: Send, call: Call, status: int, body: bytes, kind: bytes, more: Mapping[str, str] | None = None
    ) -> None:
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *self._ids(call)]
        if more:
            headers += [(name.lower().encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _check_key(self, call: Call) -> None:
        if self._key is None or call.path in OPEN_ROUTES:
            return
        if not compare_digest(call.headers.get(b"x-api-key", b""), self._key):
            raise RequestRefused(
                401,
                "X-API-Key is missing or wrong: send the key of this service",
                headers={"WWW-Authenticate": "ApiKey"},
            )

    def _ids(self, call: Call) -> Headers:
        version = self._loader.version
        model = [(b"x-model-version", version.encode())] if version else []
        return [(b"x-request-id", call.id.encode()), *model]


def _refused(error: RequestRefused | NoModel | TableRefused) -> RequestRefused:
    """The one place where an error of the domain becomes an answer of HTTP."""
    if isinstance(error, TableRefused):
        return RequestRefused(422, str(error), more={"candidates": error.candidates or {}})
    if isinstance(error, NoModel):
        return RequestRefused(503, str(error), headers={"Retry-After": str(round(RETRY_SECONDS))})
    return error


def _refusal(call: Call, error: RequestRefused) -> Answer:
    told: dict[str, Any] = {
        "detail": str(error),
        "errors": error.problems[:MOST_PROBLEMS],
        "n_errors": len(error.problems),
        "request_id": call.id,
        **error.more,
    }
    return Answer(encode(told))
