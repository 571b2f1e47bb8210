"""Who may know whom: the import rules of `wine_serving`, read from its source."""

import ast
from pathlib import Path

from tests.conftest import ROOT

HOUSE = ROOT / "wine_serving"
WEB = {"fastapi", "starlette", "prometheus_client"}
SCIENCE = {"sklearn", "pandas", "matplotlib", "skl2onnx", "papermill"}


def modules() -> dict[str, Path]:
    """Module → its file, as `wine_serving.registry.folder`; a package goes by its own name."""
    named = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in HOUSE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in named.items()}


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """The modules that a file imports; with `at_import` only those that importing the file itself imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_import else [*ast.walk(tree)]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} has a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & {*modules()}
            found |= inner or {node.module}
    return found


def known_to(name: str) -> set[str]:
    """The modules of ours that a module, or any module of a package, imports from outside of itself."""
    inside = {each: path for each, path in modules().items() if f"{each}.".startswith(f"{name}.")}
    return {each for path in inside.values() for each in imports(path) if each in modules()} - {*inside}


def test_errors_know_nobody_and_the_schema_only_errors() -> None:
    """What everybody stands on stands on nothing."""
    assert known_to("wine_serving.errors") == set()
    assert known_to("wine_serving.schema") <= {"wine_serving.errors"}


def test_a_registry_knows_no_bundle() -> None:
    """It keeps files, whatever they mean."""
    assert known_to("wine_serving.registry") <= {
        f"wine_serving.{each}" for each in ("errors", "settings", "provenance")
    }


def test_a_verdict_knows_no_registry() -> None:
    """It is data, for whoever reads it."""
    assert known_to("wine_serving.verdict") == {"wine_serving.errors"}


def test_only_the_api_speaks_http() -> None:
    """Registries, models and commands are used without a web framework."""
    others = [
        path for path in modules().values() if path != HOUSE / "app.py" and not path.is_relative_to(HOUSE / "api")
    ]
    speaking = {path.name for path in others if WEB & {name.partition(".")[0] for name in imports(path)}}
    assert not (HOUSE / "api").is_dir() or speaking == set()


def test_only_the_app_knows_the_api() -> None:
    """Nothing else depends on how it is served."""
    knowing = {
        name
        for name, path in modules().items()
        if any(f"{each}.".startswith("wine_serving.api.") for each in imports(path))
    }
    assert {name for name in knowing if not f"{name}.".startswith("wine_serving.api.")} <= {"wine_serving.app"}


def test_wandb_is_imported_only_where_it_is_spoken_to() -> None:
    """By its adapter, and by nobody as long as the registry is a folder; the type checker aside."""
    users = {
        name for name, path in modules().items() if any(each.partition(".")[0] == "wandb" for each in imports(path))
    }
    assert users == {"wine_serving.registry.wandb", "wine_serving.registry.wandb_sdk"}
    for name in users:
        assert "wandb" not in {each.partition(".")[0] for each in imports(modules()[name], at_import=True)}


def test_nothing_here_trains_or_draws() -> None:
    """Neither scikit-learn nor pandas nor plotting is on the serving path, and the page is another house."""
    for path in modules().values():
        assert not (SCIENCE | {"wine_ui"}) & {name.partition(".")[0] for name in imports(path)}


def test_there_are_no_circles() -> None:
    """Whoever is imported can be read without whoever imports it."""
    waiting = {name: imports(path, at_import=True) & {*modules()} - {name} for name, path in modules().items()}
    while free := [name for name, needs in waiting.items() if not needs]:
        for name in free:
            del waiting[name]
        waiting = {name: needs - {*free} for name, needs in waiting.items()}
    assert not waiting
