"""What monitoring found last: what the API's registry knows, or what was published since the API was released."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import streamlit as st

from wine_ui import way
from wine_ui.settings import Settings, SettingsError

OVERDUE: Final = timedelta(days=9)  # it is looked once a week
PATIENCE: Final = 3.0  # seconds that a visitor may be kept waiting for what is only news
ANSWERS: Final = {
    "as_promoted": "Yes, as far as can be told",
    "inputs_changed": "The wines have changed",
    "worse": "No, it has become worse",
    "too_few": "There was too little to tell",
}

READ: Final = ("answer", "sentence", "at", "simulated", "production", "n_wines", "n_grades")

Look = Mapping[str, Any]


def show(model: Mapping[str, Any]) -> None:
    """Whether the model still does what it was released for, and when that was last looked at."""
    st.header("Does it still do what it was released for?", anchor=False)
    look = newest(model["model_version"], [model.get("monitoring"), published(Settings.from_environment())])
    if look is None:
        st.markdown("Nobody has looked yet.")
        return
    at = datetime.fromisoformat(look["at"])
    st.markdown(f"**{ANSWERS.get(look['answer'], look['answer'])}.** {look['sentence']}")
    st.caption(f"Looked at on {at:%d %B %Y}: {look['n_wines']} wines and {look['n_grades']} grades of tasters.")
    if datetime.now(UTC) - at > OVERDUE:
        st.warning(f"That was {(datetime.now(UTC) - at).days} days ago, so the next look is overdue.")


def newest(version: str, looks: list[Look | None]) -> Look | None:
    """The last look at this version, at what visitors really asked."""
    ours = [look for look in looks if look and look["production"]["version"] == version and not look["simulated"]]
    return max(ours, key=lambda look: datetime.fromisoformat(look["at"]), default=None)


def published(settings: Settings) -> Look | None:
    """What lies beside the published reports, if anything does that can be read."""
    return _fetched(str(settings.reports_url)) if settings.reports_url else None


@st.cache_data(ttl=600, show_spinner=False)
def _fetched(reports: str) -> Look | None:
    """What lies there; no visitor can do anything about a published file that is away or not what it should be."""
    try:
        with way.connect(reports, timeout=PATIENCE, follow_redirects=True) as client:
            found = client.get("monitor.json").raise_for_status().json()
        datetime.fromisoformat(found["at"]) < datetime.now(UTC)  # noqa: B015 - a TypeError where it has no time zone
        return {name: found[name] for name in READ} if found["production"]["version"] else None
    except (httpx.HTTPError, SettingsError, ValueError, KeyError, TypeError):
        return None
