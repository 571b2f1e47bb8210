"""The project's version is written once."""

from importlib.metadata import version

from wine_serving.app import app
from wine_serving.provenance import VERSION


def test_package_and_api_have_the_same_version() -> None:
    """What is installed and what answers say the same."""
    assert version("wine-quality") == app.version == VERSION
