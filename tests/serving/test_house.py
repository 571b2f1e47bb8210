"""Who may know whom: the import rules of `wine_serving`, read from its source."""

import ast
import re
from pathlib import Path

from tests.conftest import ROOT

MODULES = {  # `wine_serving.registry.folder` → its file; a package goes by its own name
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "wine_serving").rglob("*.py")
}
API = "wine_serving.api"
REGISTRY = "wine_serving.registry"


def imported(path: Path, *, at_import: bool = False) -> set[str]:
    """Dotted names of all that a file imports, also inside of functions; or of what importing the file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *rooms: str) -> bool:
    """Whether a name is one of these modules, or of what stands in them."""
    return any(f"{name}.".startswith(f"{room}.") for room in rooms)


def module_of(name: str) -> str:
    """The module of ours that holds what is imported by this name."""
    return name if name in MODULES else name.rpartition(".")[0]


def known_to(room: str) -> set[str]:
    """What a module, or any module of a package, imports of ours from outside of itself."""
    names = {each for name, path in MODULES.items() if within(name, room) for each in imported(path)}
    return {name for name in outside(room, names) if within(name, "wine_serving")}


def users(*rooms: str, at_import: bool = False) -> set[str]:
    """The modules of ours that import something from there."""
    importing = {name: imported(path, at_import=at_import) for name, path in MODULES.items()}
    return {name for name, names in importing.items() if any(within(each, *rooms) for each in names)}


def outside(room: str, names: set[str]) -> set[str]:
    """Those that stand elsewhere."""
    return {name for name in names if not within(name, room)}


def test_errors_know_nobody_and_the_schema_only_an_error() -> None:
    """What everybody stands on stands on nothing; the schema says by an error what is wrong with a table."""
    assert known_to("wine_serving.errors") == set()
    assert known_to("wine_serving.schema") == {"wine_serving.errors.ContractError"}


def test_a_registry_knows_no_bundle() -> None:
    """It keeps files, whatever they mean."""
    known = {module_of(name) for name in known_to("wine_serving.registry")}
    assert known <= {f"wine_serving.{name}" for name in ("errors", "machine", "settings", "provenance")}


def test_a_verdict_knows_no_registry() -> None:
    """It is data, for whoever reads it."""
    assert {module_of(name) for name in known_to("wine_serving.verdict")} == {"wine_serving.errors"}


def test_only_the_api_knows_the_web() -> None:
    """Registries, models and commands are used without a web framework."""
    assert outside(API, users("fastapi", "starlette", "prometheus_client")) == {"wine_serving.app"}


def test_what_is_served_raises_no_refusals_of_http() -> None:
    """Errors of the domain become answers in one place; what reads requests refuses them itself."""
    assert users("wine_serving.errors.RequestRefused") == {
        *(f"{API}.{name}" for name in ("body", "call", "middleware")), "wine_serving.app"
    }  # fmt: skip


def test_the_environment_is_read_where_settings_are_made() -> None:
    """Beside that only by who is asked for a commit, a user or W&B's key, and by what is started as a program."""
    reading = {
        name for name, path in MODULES.items() if re.search(r"environ\b|getenv|from_environment", path.read_text())
    }
    programs = {"wine_serving", "wine_serving.__main__", "wine_serving.app"}
    domain = {
        "wine_serving.machine",
        "wine_serving.settings",
        "wine_serving.provenance",
        REGISTRY,
        f"{REGISTRY}.wandb_sdk",
        f"{REGISTRY}.looking",
    }
    assert reading == programs | domain


def test_only_the_app_knows_the_api() -> None:
    """It is put together in one place, and nothing else depends on how it is served."""
    assert outside(API, users(API)) == {"wine_serving.app"}
    assert users("wine_serving.app") == set()


def test_wandb_is_imported_only_where_it_is_spoken_to() -> None:
    """By its adapter, and by nobody as long as the registry is a folder; the type checker aside."""
    assert users("wandb") == {f"wine_serving.registry.{name}" for name in ("claims", "wandb", "wandb_sdk")}
    assert users("wandb", at_import=True) == set()


def test_only_scoring_in_bulk_takes_what_makes_it_scale() -> None:
    """Neither the API nor a notebook of the pipeline waits for Dask, and who does not score has not installed it."""
    scaling = {f"wine_serving.{name}" for name in ("batch", "lines", "parts", "scoring", "workers")}
    assert users("dask", "distributed", "fsspec", "pyarrow", "tqdm") == scaling
    assert users(*scaling, at_import=True) <= scaling


def test_nothing_here_trains_or_draws() -> None:
    """Neither scikit-learn nor pandas nor plotting is on the serving path, and the page is another house."""
    assert users("sklearn", "pandas", "matplotlib", "skl2onnx", "papermill", "wine_ui") == set()


def test_there_are_no_circles() -> None:
    """Whoever is imported can be read without whoever imports it."""
    waiting = {
        name: {module_of(each) for each in imported(path, at_import=True)} & {*MODULES} - {name}
        for name, path in MODULES.items()
    }
    while free := [name for name, needs in waiting.items() if not needs]:
        for name in free:
            del waiting[name]
        waiting = {name: needs - {*free} for name, needs in waiting.items()}
    assert not waiting
