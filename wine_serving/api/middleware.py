"""Around every route: the call's id, the API key, the metrics, and errors as one kind of answer."""

import json
import logging
from secrets import compare_digest
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wine_serving.api.loading import Service
from wine_serving.api.metrics import Metrics
from wine_serving.call import Call
from wine_serving.errors import RequestRefused

OPEN_ROUTES: Final = frozenset({"/health", "/live"})  # probes carry no key
CALL: Final = "wine_serving.call"  # where the scope keeps the call
MAX_PROBLEMS: Final = 100  # how many broken rules one answer lists

_log = logging.getLogger(__name__)


class Gate:
    """The outermost middleware of the app."""

    def __init__(self, app: ASGIApp, service: Service, metrics: Metrics, api_key: str | None) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._api_key = api_key.encode() if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong on the way is answered as a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = scope[CALL] = Call(scope)
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._ids(call)]
            await send(message)

        try:
            self._check_key(scope["path"], call)
            await self._app(scope, receive, send_with_ids)
        except RequestRefused as refused:
            await _answer(send_with_ids, call, refused)
        except Exception:
            _log.exception("request %s failed", call.id)
            if status:  # the answer has begun: the server closes the connection
                raise
            await _answer(
                send_with_ids, call, RequestRefused(500, "the service failed; its log tells more by the request id")
            )
        finally:
            self._metrics.answered(_path(scope), status, call.seconds())

    def _check_key(self, path: str, call: Call) -> None:
        if self._api_key is None or path in OPEN_ROUTES:
            return
        if not compare_digest(call.headers.get(b"x-api-key", b""), self._api_key):
            raise RequestRefused(
                401,
                "X-API-Key is missing or wrong: send the key of this service",
                headers={"WWW-Authenticate": "ApiKey"},
            )

    def _ids(self, call: Call) -> list[tuple[bytes, bytes]]:
        version = self._service.version
        model = [(b"x-model-version", version.encode())] if version else []
        return [(b"x-request-id", call.id.encode()), *model]


def _path(scope: Scope) -> str:
    route: Any = scope.get("route")
    return route.path if route else "unknown"


async def _answer(send: Send, call: Call, refused: RequestRefused) -> None:
    body = json.dumps(
        {
            "detail": str(refused),
            "errors": list(refused.problems)[:MAX_PROBLEMS],
            "n_errors": len(refused.problems),
            "request_id": call.id,
        }
    ).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | refused.headers
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
