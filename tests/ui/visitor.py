"""A visitor without a browser: opens the page, presses, uploads and reads; and what the API noticed of it."""

from contextlib import closing
from typing import Any

import httpx
from pydantic import AnyHttpUrl
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from wine_ui.client import Client
from wine_ui.settings import Settings
from wine_ui.units import read_number

TIMEOUT = 30  # seconds for one run of the page


def client_of(address: str, patience: float = 10.0) -> closing[Client]:
    """A client of the service at an address, for a with statement."""
    return closing(Client(Settings(api_url=AnyHttpUrl(address)), patience))


def opened() -> AppTest:
    """The page, opened."""
    return AppTest.from_file(str(ROOT / "wine_ui" / "app.py"), default_timeout=TIMEOUT).run()


def press(page: AppTest, label: str) -> AppTest:
    """Press the button with that label."""
    return next(button for button in page.button if button.label == label).click().run()


def text(page: AppTest) -> str:
    """All that can be read."""
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.error, *page.title, *page.subheader]
    return "\n".join(str(part.value) for part in parts)


def on_form(page: AppTest) -> dict[str, Any]:
    """The wine that stands on the form, as the API takes it."""
    numbers = {name: read_number(page.text_input(key=name).value) for name in fields(page)}
    return numbers | {"color": page.session_state["color"]}


def fields(page: AppTest) -> list[str]:
    """The measurements that the form asks for."""
    return [each.key for each in page.text_input if each.key and not each.key.startswith("lab_")]


def score(page: AppTest) -> float:
    """The score that is shown."""
    return float(page.metric[0].value.split()[0])


def asked(api: str, route: str) -> float:
    """How often the API has answered on a route."""
    lines = httpx.get(f"{api}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f'wine_requests_total{{route="{route}"'))


def upload(content: bytes) -> AppTest:
    """The file page after an upload."""

    def show() -> None:
        from wine_ui import page_file, recovery

        recovery.guarded(page_file.show)()

    page = AppTest.from_function(show, default_timeout=TIMEOUT).run()
    page.file_uploader(key="file").upload("cellar.csv", content, "text/csv")
    return page.run()
