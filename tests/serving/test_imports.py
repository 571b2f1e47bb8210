"""Who may import whom in wine_serving: what the design promises of its rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

WEB = {"fastapi", "starlette", "prometheus_client"}


def modules() -> Iterator[tuple[str, set[str]]]:
    """Each module by its dotted name, with all that it imports, also inside of functions."""
    for path in (ROOT / "wine_serving").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name, set(imported(path))


def imported(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importing(what: str) -> set[str]:
    """The modules that import something from `what`."""
    return {name for name, names in modules() if any(f"{each}.".startswith(f"{what}.") for each in names)}


def inside(room: str, names: set[str]) -> set[str]:
    """Those of a room: its package, or modules whose names begin so."""
    return {name for name in names if name.startswith(f"wine_serving.{room}")}


def test_only_the_api_knows_the_web() -> None:
    """Registry, bundle and verdict are used where no server runs."""
    found = set().union(*map(importing, WEB))
    assert found - inside("api.", found) == {"wine_serving.app"}


def test_only_the_app_knows_the_api() -> None:
    """It is put together in one place."""
    found = importing("wine_serving.api")
    assert found - inside("api.", found) == {"wine_serving.app"}
    assert importing("wine_serving.app") == set()


def test_registry_knows_no_bundle() -> None:
    """It keeps files, whatever they mean."""
    for room in ("bundle", "schema", "assessing", "explain"):
        assert inside("registry", importing(f"wine_serving.{room}")) == set()


def test_schema_and_errors_know_nobody() -> None:
    """But that the schema says what is wrong with a table by the one family of errors."""
    found = dict(modules())
    assert not [name for name in found["wine_serving.errors"] if name.startswith("wine_serving")]
    ours = {name for name in found["wine_serving.schema"] if name.startswith("wine_serving")}
    assert ours == {"wine_serving.errors.ContractError"}
