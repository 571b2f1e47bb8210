"""Floor B: a bare ASGI reply, without framework, validation or model."""

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from tests.bench.floor_a import ASSESSMENT

BODY = to_json({**ASSESSMENT, "model_version": "v0", "request_id": "constant"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer a constant."""
    if scope["type"] == "lifespan":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})
