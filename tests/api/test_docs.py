"""/docs in a browser: what is documented can be tried, and nothing is loaded from elsewhere."""

import pytest
from playwright.sync_api import Browser, expect

from tests.servers import Server

pytestmark = pytest.mark.browser


def test_example_is_sent_and_answered(chromium: Browser, server: Server) -> None:
    """For a wine and for a table; the page asks this service alone."""
    with chromium.new_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.address}/docs")
        for route, told in (
            ("POST /predict", '"prediction_id"'),
            ("POST /predict/table", '"summary"'),
            ("GET /health", '"ok"'),
        ):
            box = page.locator("details", has=page.get_by_text(route, exact=True))
            box.locator("summary").click()
            box.get_by_role("button", name="Send").click()
            expect(box.locator("pre")).to_contain_text("200")
            expect(box.locator("pre")).to_contain_text(told)
    assert asked
    assert all(url.startswith(server.address) for url in asked)
