"""The front page tells what monitoring found last, and that nobody has looked for too long."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from front_page import write_front_page  # notebooks/front_page.py
from playwright.sync_api import Browser, expect

from tests.serving.test_monitoring import FOUND
from wine_serving.registry import MODEL, PRODUCTION
from wine_serving.registry.folder import FolderRegistry


@pytest.fixture
def looked_at(promoted: FolderRegistry, monkeypatch: pytest.MonkeyPatch) -> FolderRegistry:
    """A registry in whose production monitoring has just found what it found."""
    monkeypatch.setenv("WINE_REGISTRY", f"folder:{promoted.root}")
    found = FOUND.model_copy(update={"at": datetime.now(UTC)})
    promoted.attach_monitoring(f"{MODEL}:{PRODUCTION}", found.for_record())
    return promoted


def test_last_look_of_monitoring_is_told_with_its_date(looked_at: FolderRegistry, tmp_path: Path) -> None:
    """The answer and its sentence; and what to do where nobody has looked at what is in production."""
    write_front_page(tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "Monitoring: inputs changed" in page
    assert FOUND.sentence in page
    assert f"{datetime.now(UTC):%Y-%m-%d}" in page
    looked_at.attach_monitoring(f"{MODEL}:{PRODUCTION}", {})
    write_front_page(tmp_path)
    assert "nobody has looked yet" in (tmp_path / "index.html").read_text()


@pytest.mark.browser
@pytest.mark.usefixtures("looked_at")
def test_a_page_that_nobody_writes_again_says_itself_that_a_look_is_overdue(tmp_path: Path, chromium: Browser) -> None:
    """After nine days, in the browser: a schedule that has died writes nothing any more."""
    write_front_page(tmp_path)
    for days, overdue in {8: False, 10: True}.items():
        page = chromium.new_page()
        page.clock.install(time=datetime.now(UTC) + timedelta(days=days))
        page.goto((tmp_path / "index.html").as_uri())
        expect(page.get_by_text("The next look is overdue")).to_be_visible(visible=overdue)
        page.close()
