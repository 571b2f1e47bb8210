"""Setting up: the menu, the environment, the locks and the layout that people rely on."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from pip._internal.models.index import PyPI  # the only place that knows the public index by name

from tests.delivery.here import HAS_GIT, needs
from tests.servers import free_port
from wine_serving.registry import MODEL
from wine_serving.registry.folder import FolderRegistry

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
TARGETS = re.findall(
    r"\w+",
    "pipeline data eda train evaluate search score serve api ui lab promote rollback compare test check bench images "
    "deploy sync audit monitor log sample grades",
)
TOP_LEVEL = {
    *("notebooks", "wine_serving", "wine_ui", "tests", "requirements", "environment.yml", "Dockerfile.api"),
    *("Dockerfile.ui", "README.md", "pyproject.toml", "Makefile", "LICENSE"),
}
DOCUMENTS = (ROOT / "README.md", *(ROOT / ".github" / name for name in ("MONITORING.md", "OPERATING.md", "SCALE.md")))
COMMANDS = sorted(
    {each for text in DOCUMENTS for each in re.findall(r"^make .*?(?= +#|$)", text.read_text(), re.MULTILINE)}
)
PATIENCE = 60
in_git = needs({"a checkout by git": HAS_GIT})


def run(*command: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run to the end with `variables` laid over the environment, as if not called by make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=cwd, check=False, capture_output=True, text=True, timeout=900, env=environment | variables
    )


def pins(lock: Path) -> dict[str, set[str]]:
    """Package → the versions that the lock pins, one for each platform or Python that needs another."""
    found: dict[str, set[str]] = {}
    for name, pinned in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE):
        found.setdefault(name, set()).add(pinned)
    return found


def entries(lock: Path) -> list[str]:
    """The lock's requirements, each with its hashes."""
    return re.split(r"\n(?=\S)", lock.read_text().strip())


def project() -> dict[str, object]:
    """What pyproject.toml says of the project."""
    content: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return content


PAYLOADS = (
    *("$(shell touch MARK)", "${shell touch MARK}", "$(eval x := $(shell touch MARK))", "$$(touch MARK)"),
    *("$(touch MARK)", "`touch MARK`", "; touch MARK", "| touch MARK", "&& touch MARK #", '"; touch MARK; "'),
    *("'; touch MARK; '", "> MARK", "x\n\ttouch MARK\n", "x\ntouch MARK", "\\\ntouch MARK"),
)


# The menu


def test_make_alone_prints_the_menu() -> None:
    """Every promised target is there, with a line that says what it does."""
    menu = run("make").stdout
    assert [target for target in TARGETS if not re.search(rf"make {target} +\S", menu)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_commands_can_be_typed(command: str) -> None:
    """Each command of README, runbook and SCALE names a target, and variables that the Makefile reads."""
    variables = re.findall(r"\b([A-Z]+)=", command)
    makefile = (ROOT / "Makefile").read_text()
    assert run(*shlex.split(command), "--dry-run").returncode == 0
    assert [name for name in variables if not re.search(rf"\$\$\{{?{name}\b", makefile)] == []


@pytest.mark.parametrize(
    ("command", "sentence"),
    {
        "promote": ("make promote VERSION=v1", "names a version and a reason"),
        "compare": ("make compare A=v1", "Say which two versions"),
        "score": ("make score INPUT=wines.csv", "Say what to score, and where to"),
    }.values(),
)
def test_target_without_its_variables_says_which(command: str, sentence: str) -> None:
    """A forgotten variable is a sentence, not a traceback."""
    refused = run(*shlex.split(command))
    assert refused.returncode != 0
    assert sentence in refused.stderr


def test_what_a_person_types_reaches_the_history_as_it_is(
    folder: FolderRegistry, tiny_bundle: Path, tmp_path: Path
) -> None:
    """A reason may hold quotes and dollars: none of them is a command."""
    folder.publish(tiny_bundle, MODEL, kind="model")
    mark = tmp_path / "ran"
    reason = """it's "fit" for $5 & done: """ + " ".join(PAYLOADS).replace("MARK", str(mark))
    done = run("make", "promote", "VERSION=v0", f"REASON={reason}", WINE_REGISTRY=f"folder:{folder.root}")
    assert (done.returncode, done.stderr) == (0, "")
    assert folder.history(MODEL)[-1].reason == reason
    assert not mark.exists()


TYPED = re.findall(
    r"\w+",
    "PARAMS PROFILE EXTRA_CSV VERSION REASON A B PUSH API_PORT UI_PORT BASE_IMAGE LOCK GCP_PROJECT LOG GRADES CSV N "
    "SINCE ANY",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_typed_is_not_run(payload: str, tmp_path: Path) -> None:
    """Whichever variable it is given to, on the command line or in the environment; an unknown profile is refused."""
    mark = tmp_path / "ran"
    typed = dict.fromkeys(TYPED, payload.replace("MARK", str(mark)))
    on_the_line = [f"{name}={value}" for name, value in typed.items()]
    assert run("make", "help", *on_the_line).returncode == 0
    assert run("make", "help", cwd=ROOT, **typed).returncode == 0
    named = run("make", "environment", f"PYTHON={typed['ANY']}", "--dry-run")
    refused = run("make", "pipeline", *on_the_line)
    assert (named.returncode, mark.exists()) == (0, False)
    assert refused.returncode == 2
    assert f"PROFILE={typed['PROFILE']} is unknown" in refused.stderr or "PARAMS=" in refused.stderr


def test_parameters_arrive_as_typed(tmp_path: Path) -> None:
    """Quotes, dollars and line breaks reach the notebook's contract as they are, in PARAMS and in a table's name."""
    mark = tmp_path / "ran"
    text = " ".join(PAYLOADS).replace("MARK", str(mark))
    for given in (f"PARAMS=-p extra_csv {shlex.quote(text)}", f"EXTRA_CSV={text}"):
        refused = run("make", "data", given)
        assert refused.returncode == 2
        assert f"extra_csv={text!r} is refused" in refused.stderr
    assert not mark.exists()


def test_make_leaves_tracking_to_python(tmp_path: Path) -> None:
    """Whether somebody is logged in is asked in one place, `registry/wandb_sdk.py`, and never guessed here."""
    (tmp_path / "show.mk").write_text("show:\n\t@env | grep WANDB_ || echo nothing is set\n")
    assert run("make", "-f", "Makefile", "-f", f"{tmp_path}/show.mk", "show").stdout == "nothing is set\n"


# The environment


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout of what set-up reads, with the few packages of the lock that set-up itself uses."""
    root = tmp_path_factory.mktemp("a clone")
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE", ".gitattributes", "environment.yml"):
        shutil.copy(ROOT / name, root)
    for package in ("wine_serving", "wine_ui"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    needed = with_requirements({"hatchling", "editables"})
    kept = [entry for entry in entries(ROOT / "requirements" / "dev.txt") if entry.split("==")[0] in needed]
    (root / "requirements").mkdir()
    for script in ("environment.py", "notebooks.py"):
        shutil.copy(ROOT / "requirements" / script, root / "requirements")
    (root / "requirements" / "dev.txt").write_text("\n".join(kept) + "\n")
    run("git", "init", "--quiet", cwd=root)
    return root


def with_requirements(names: set[str]) -> set[str]:
    """The packages and everything that they require here."""
    found: set[str] = set()
    while names:
        name = names.pop()
        found.add(name)
        required = [Requirement(line) for line in distribution(name).requires or []]
        names |= {
            re.sub(r"[._-]+", "-", each.name).lower()
            for each in required
            if each.marker is None or each.marker.evaluate({"extra": ""})
        } - found
    return found


def set_up(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run("make", *arguments, "environment", cwd=root, **variables)


@pytest.fixture(scope="module")
def ready(checkout: Path) -> Path:
    """The checkout, set up."""
    done = set_up(checkout, f"PYTHON={sys.executable}", WINE_ENV="")
    assert done.returncode == 0, done.stderr
    assert "Setting up .venv" in done.stdout
    return checkout


def test_set_up_installs_the_lock_and_the_project(ready: Path) -> None:
    """The environment holds what the lock pins, and the project itself from this very checkout."""
    listed = run(f"{ready}/.venv/bin/python", "-m", "pip", "list", "--format=json", cwd=ready)
    installed = {each["name"].lower().replace("_", "-"): each for each in json.loads(listed.stdout)}
    locked = pins(ready / "requirements" / "dev.txt")
    assert {name for name, versions in locked.items() if installed[name]["version"] not in versions} == set()
    assert installed["wine-quality"]["editable_project_location"] == str(ready)


def test_second_set_up_costs_nothing(ready: Path) -> None:
    """With nothing changed nothing is run, whether the Python is named again or not."""
    for arguments in ([], [f"PYTHON={sys.executable}"]):
        again = set_up(ready, "--question", *arguments, WINE_ENV="")
        assert (again.returncode, again.stdout) == (0, "")


def test_extra_is_added_when_it_is_first_asked_for(ready: Path) -> None:
    """By its own lock; asked again, nothing is done, and with another lock that is installed."""
    kept = {entry.split("==")[0]: entry for entry in entries(ROOT / "requirements" / "scale.txt")}
    for name in ("locket", "toolz"):
        (ready / "requirements" / "scale.txt").write_text(kept[name] + "\n")
        first, again = (run("make", "scale", cwd=ready, WINE_ENV="") for _ in range(2))
        assert (first.returncode, first.stdout) == (0, "Adding Dask and Optuna: some seconds, once\n"), first.stderr
        assert (again.returncode, again.stdout) == (0, "")
        assert run(f"{ready}/.venv/bin/python", "-c", f"import {name}", cwd=ready).returncode == 0


@in_git
def test_outputs_never_reach_git(ready: Path) -> None:
    """What is added to git has no outputs and no counts, and still its tags and its cells' names."""
    cell = {"cell_type": "code", "id": "settings", "metadata": {"tags": ["parameters"]}, "source": ["seed: int = 0"]}
    output = {"output_type": "stream", "name": "stdout", "text": "secret"}
    notebook = {
        "cells": [cell | {"execution_count": 3, "outputs": [output]}],
        "metadata": {"language_info": {"name": "python", "version": "3.11.7"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (ready / "x.ipynb").write_text(json.dumps(notebook))
    assert run("git", "add", "x.ipynb", cwd=ready).returncode == 0
    added = json.loads(run("git", "show", ":x.ipynb", cwd=ready).stdout)
    assert added["cells"] == [cell | {"execution_count": None, "outputs": []}]
    assert added["metadata"] == {}
    assert json.loads((ready / "x.ipynb").read_text()) == notebook
    (ready / "x.ipynb").unlink()
    assert run("git", "checkout", "--", "x.ipynb", cwd=ready).returncode == 0
    assert json.loads((ready / "x.ipynb").read_text()) == added


@pytest.fixture
def without_environment(ready: Path, tmp_path: Path) -> Path:
    """A clone with a changed notebook, whose settings are those of a worktree that was removed, and no .venv."""
    for name in (".gitattributes", "requirements/notebooks.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ready / name, tmp_path / name)
    run("git", "init", "-q", cwd=tmp_path)
    settings = run("git", "config", "--get-regexp", "nbstripout|jupyternotebook", cwd=ready).stdout.splitlines()
    for name, value in (line.split(" ", 1) for line in settings):
        run("git", "config", name, value, cwd=tmp_path)
    cell: dict[str, object] = {"cell_type": "code", "id": "a", "metadata": {}, "source": [], "outputs": []}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook))
    run("git", "add", ".", cwd=tmp_path)
    run("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "one", cwd=tmp_path)
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "secret"}]
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook))
    return tmp_path


GIT = (("status", "--short"), ("diff",), ("stash",), ("stash", "pop"), ("add", "."), ("checkout", "-q", "-b", "other"))


@in_git
@pytest.mark.parametrize("words", GIT, ids=" ".join)
def test_git_goes_on_where_the_environment_is_gone(without_environment: Path, words: tuple[str, ...]) -> None:
    """No command stops, and outputs stay out, as any Python takes them out."""
    if words == ("stash", "pop"):
        (without_environment / "y").touch()
        run("git", "stash", "-u", cwd=without_environment)
    assert run("git", *words, cwd=without_environment).returncode == 0
    assert "secret" not in run("git", "show", ":x.ipynb", cwd=without_environment).stdout


@in_git
def test_filter_that_cannot_run_says_what_to_type(without_environment: Path, tmp_path: Path) -> None:
    """With no Python at all git goes on, too."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    done = run("git", "add", "x.ipynb", cwd=without_environment, PATH=str(programs))
    assert done.returncode == 0
    assert "outputs are not taken out: make environment" in done.stderr


@in_git
def test_commit_that_lacks_the_script_is_no_trouble(ready: Path, without_environment: Path) -> None:
    """As in a checkout of an older one: the copy beside git's settings does the same."""
    shutil.copy(ready / ".git" / "keep-notebooks.py", without_environment / ".git")
    (without_environment / "requirements" / "notebooks.py").unlink()
    done = run("git", "add", ".", cwd=without_environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "secret" not in run("git", "show", ":x.ipynb", cwd=without_environment).stdout


@in_git
def test_half_merged_notebook_is_what_it_is(without_environment: Path) -> None:
    """What is no JSON stops nothing."""
    (without_environment / "x.ipynb").write_text("<<<<<<< HEAD\n")
    assert run("git", "status", cwd=without_environment).returncode == 0
    assert run("git", "add", ".", cwd=without_environment).returncode == 0
    assert run("git", "show", ":x.ipynb", cwd=without_environment).stdout == "<<<<<<< HEAD\n"


@in_git
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_checkout_of_another_user_is_set_up(without_environment: Path, tmp_path: Path) -> None:
    """As when it is mounted in a container: what git refuses to keep is said, and fails nothing."""
    shutil.copy(ROOT / "requirements" / "environment.py", without_environment / "requirements")
    for path in (without_environment, *without_environment.rglob("*")):
        os.chown(path, 12345, 12345)
    settle = "import environment; environment.settle_git('.venv/bin/python')"
    home = {"HOME": str(tmp_path), "PYTHONPATH": str(without_environment / "requirements"), "SUDO_UID": ""}
    done = run(sys.executable, "-c", settle, cwd=without_environment, **home)
    assert (done.returncode, done.stderr) == (0, "")
    assert "safe.directory" in done.stdout


@in_git
def test_notebooks_are_compared_and_merged_cell_by_cell(ready: Path, tmp_path: Path) -> None:
    """Set-up makes nbdime git's tool for notebooks: a diff names cells, and edits of two cells merge."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return run("git", "-c", "user.name=A", "-c", "user.email=a@example.org", *words, cwd=tmp_path)

    def commit(*cells: str) -> None:
        found = [{"cell_type": "markdown", "id": f"c{n}", "metadata": {}, "source": [s]} for n, s in enumerate(cells)]
        notebook = {"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / "x.ipynb").write_text(json.dumps(notebook, indent=1))
        git("add", "x.ipynb")
        assert git("commit", "-qm", "cells").returncode == 0

    git("init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text("*.ipynb diff=jupyternotebook merge=jupyternotebook\n")
    for name in ("diff.jupyternotebook.command", "merge.jupyternotebook.driver"):
        command = run("git", "config", "--get", name, cwd=ready).stdout.strip()
        git("config", name, command.replace(".venv/bin/python", sys.executable))
    commit("one", "two", "three")
    git("checkout", "-qb", "other")
    commit("uno", "two", "three")
    git("checkout", "-q", "main")
    commit("one", "two", "drei")
    assert "modified /cells/2/source" in re.sub(r"\x1b\[\d*m", "", git("diff", "HEAD~1").stdout)
    assert git("merge", "-q", "other").returncode == 0
    assert ["".join(cell["source"]) for cell in json.loads((tmp_path / "x.ipynb").read_text())["cells"]] == [
        "uno",
        "two",
        "drei",
    ]


def test_conda_environment_gets_the_project_and_nothing_beside_it(ready: Path, tmp_path: Path) -> None:
    """Inside conda make uses that Python, adds the project once, and creates no other environment."""
    copy = shutil.copytree(ready, tmp_path / "copy", ignore=shutil.ignore_patterns(".venv"))
    conda = {"WINE_ENV": "conda", "PATH": f"{ready}/.venv/bin:{os.environ['PATH']}"}
    first = set_up(copy, **conda)
    (added,) = (ready / ".venv").rglob("wine_quality-*/direct_url.json")
    where, when = json.loads(added.read_text())["url"], added.stat().st_mtime_ns
    second = set_up(copy, **conda)
    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, "")
    assert where == copy.as_uri()
    assert added.stat().st_mtime_ns == when
    assert not (copy / ".venv").exists()


def test_remains_of_an_attempt_are_no_environment(ready: Path) -> None:
    """A .venv that was not finished is made anew."""
    mark = ready / ".venv" / ".ready"
    says = mark.read_text()
    mark.unlink()
    assert set_up(ready, "--question", WINE_ENV="").returncode == 1
    mark.write_text(says)


def other_pythons() -> list[str]:
    """Those of the supported Pythons that are on this machine, but the one that runs the tests."""
    versions = [f"3.{minor}" for minor in range(11, 15) if minor != sys.version_info.minor]
    kept = [
        (shutil.which(f"python{each}"), *Path.home().glob(f".pyenv/versions/{each}.*/bin/python")) for each in versions
    ]
    found = [str(python) for places in kept for python in places if python]
    return [each for each in found if run(each, "--version").returncode == 0]


@pytest.mark.delivery
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", other_pythons())
def test_fresh_clone_runs_on_every_python_that_is_here(python: str, tmp_path: Path) -> None:
    """The whole lock is set up, by uv, as CI's own set-up is by pip; and a notebook runs after the network is gone."""
    clone = tmp_path / "clone"
    assert run("git", "clone", "--quiet", str(ROOT), str(clone)).returncode == 0
    with_uv = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "WINE_ENV": ""}
    loopback = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    offline = loopback if os.geteuid() == 0 and shutil.which("ip") else []
    for command in (["make", "environment", f"PYTHON={python}"], [*offline, "make", "data", "PROFILE=quick"]):
        done = run(*command, cwd=clone, **with_uv)
        assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout


@pytest.mark.delivery
def test_environment_belongs_to_the_folder_it_was_made_in(ready: Path, tmp_path: Path) -> None:
    """A checkout that was copied, moved or renamed gets its own, whatever it had; no code is run from the original."""
    copy = shutil.copytree(ready, tmp_path / "copy", symlinks=True)
    left = copy / ".venv" / "left-over"
    left.touch()
    done = set_up(copy, WINE_ENV="", PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert "Setting up .venv" in done.stdout
    assert not left.exists()
    where = "import importlib.metadata as m; print(m.distribution('wine-quality').read_text('direct_url.json'))"
    assert copy.as_uri() in run(f"{copy}/.venv/bin/python", "-c", where, cwd=tmp_path).stdout
    assert set_up(copy, "--question", WINE_ENV="", PYTHON=sys.executable).returncode == 0
    moved = copy.rename(tmp_path / "renamed")
    assert set_up(moved, "--question", WINE_ENV="", PYTHON=sys.executable).returncode == 1


@pytest.mark.parametrize(
    ("given", "asked"), [("", ":replace"), ("utf-8:strict", "utf-8:replace"), (":replace", ":replace")]
)
def test_what_a_terminal_cannot_show_is_replaced(given: str, asked: str, tmp_path: Path) -> None:
    """In whichever encoding; the last is what make finds that was started by make."""
    (tmp_path / "shows").write_text('include Makefile\nshown:\n\t@echo "[$$PYTHONIOENCODING]"\n')
    assert run("make", "-f", str(tmp_path / "shows"), "shown", PYTHONIOENCODING=given).stdout == f"[{asked}]\n"


@pytest.mark.parametrize("there", [[], ["2.7", "3.6"]], ids=["none", "old ones"])
def test_without_a_python_that_can_set_up_there_is_one_sentence(there: list[str], tmp_path: Path) -> None:
    """None at all, or such as cannot even read our script."""
    for name in ("sh", "cat", "make"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for name in [f"python{number}" for number in there] + ["python3"] * bool(there):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    refused = run("make", "--always-make", "environment", PATH=str(tmp_path), WINE_ENV="")
    assert refused.returncode == 2
    (sentence,) = refused.stderr.splitlines()
    assert "Python 3.11 to 3.14 is needed: install it" in sentence


LATER_THAN_381 = {  # of GNU make's NEWS: what macOS's does not know, or takes for something else
    "a function": r"\$\((file|guile|let|intcmp) ",
    "a word": r"^(undefine|load|private)\b|^define \w+ *[:?+]?=|^export\s*$",
    "an assignment": r"^[^#\t]*?(!=|::=|:::=)",
    "a special target": r"^\.(ONESHELL|SHELLFLAGS|RECIPEPREFIX|EXTRA_PREREQS|WAIT|NOTINTERMEDIATE)\b|\.SHELLFLAGS",
    "a grouped target": r"^[^#\t=]*&:",
}


@pytest.mark.parametrize("pattern", LATER_THAN_381.values(), ids=LATER_THAN_381)
def test_makefile_is_one_that_macos_reads(pattern: str) -> None:
    """GNU make 3.81 has none of what came later."""
    assert re.findall(pattern, (ROOT / "Makefile").read_text(), flags=re.MULTILINE) == []


@pytest.mark.parametrize("says", ["Python 3.10.13", "Python 2.7.18", "Python 3.15.0"])
def test_unsupported_python_gets_one_sentence(checkout: Path, says: str, tmp_path: Path) -> None:
    """Somebody with an old Python learns what to do instead of reading a build log."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "{says}"\n')
    python.chmod(0o755)
    clone = shutil.copytree(checkout, tmp_path / "clone", ignore=shutil.ignore_patterns(".venv"))
    refused = set_up(clone, f"PYTHON={python}", WINE_ENV="")
    sentence, *rest = refused.stderr.splitlines()
    assert refused.returncode != 0
    assert sentence.startswith(f"Python 3.11 to 3.14 is needed, and {python} is {says.split()[1]}: install one")
    assert [line for line in rest if not line.startswith("make: ")] == []
    assert not (clone / ".venv").exists()


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests run with the versions that everybody gets."""
    wanted = [Requirement(entry.split("\\")[0]) for entry in entries(ROOT / "requirements" / "dev.txt")]
    here = [each for each in wanted if each.marker is None or each.marker.evaluate()]
    assert [str(each) for each in here if version(each.name) not in each.specifier] == []


# The locks


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    """Nothing is installed that was not there when the lock was made."""
    complete = re.compile(r"[\w.-]+==[\w.]+( ; [^\n\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")
    assert [entry for entry in entries(lock) if not complete.fullmatch(entry)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_smaller_locks_agree_with_the_whole(lock: Path) -> None:
    """What is served was tested with the same versions."""
    everything = pins(ROOT / "requirements" / "dev.txt")
    if lock.name == "scale.txt":  # it holds what nothing else takes, beside what all else has
        everything = pins(lock) | everything
    assert {name: versions for name, versions in pins(lock).items() if not versions <= everything[name]} == {}


def test_locks_hold_every_declared_package() -> None:
    """What pyproject.toml asks for is in the lock, in a version that it allows."""
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    locked = pins(ROOT / "requirements" / "scale.txt") | pins(ROOT / "requirements" / "dev.txt")
    declared = [Requirement(line) for lines in extras.values() for line in lines]
    assert [str(each) for each in declared if not any(v in each.specifier for v in locked.get(each.name, set()))] == []


@pytest.fixture(scope="module")
def index() -> str:
    """The package index of this machine, which uv has to be told."""
    configured = run(sys.executable, "-m", "pip", "config", "get", "global.index-url").stdout.strip()
    return os.environ.get("UV_DEFAULT_INDEX", configured)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
def test_lock_can_be_installed_everywhere(index: str, python: str, platform: str, tmp_path: Path) -> None:
    """Every supported Python finds a wheel of everything, with its hash, on every platform."""
    found = run(
        *(sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--require-hashes", "--only-binary", ":all:"),
        *("--python-version", python, "--python-platform", platform, "--target", str(tmp_path)),
        *("--requirement", "requirements/dev.txt"),
        UV_DEFAULT_INDEX=index,
        MACOSX_DEPLOYMENT_TARGET="14.0",  # the oldest that onnxruntime supports
    )
    assert found.returncode == 0, found.stderr


@in_git
def test_no_file_knows_the_index_that_it_came_from() -> None:
    """Everybody installs from the index that their own pip is configured for."""
    configured = run(sys.executable, "-m", "pip", "config", "list").stdout
    hosts = {PyPI.netloc, PyPI.file_storage_domain} | {
        urlsplit(url).netloc for url in re.findall(r"https?://[^\s']+", configured)
    }
    pattern = "|".join(re.escape(host) for host in sorted(hosts))
    assert run("git", "grep", "--line-number", "-I", "--extended-regexp", pattern).stdout == ""


def test_conda_installs_the_same_lock() -> None:
    """Conda users get a supported Python, the hashed lock, and a make that knows."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [each for each in environment["dependencies"] if str(each).startswith("python=")]
    (pip,) = [each["pip"] for each in environment["dependencies"] if isinstance(each, dict)]
    low, high = re.findall(r"3\.(\d+)", str(project()["requires-python"]))
    assert int(low) <= int(python.removeprefix("python=3.")) < int(high)
    assert pip == ["--require-hashes", "--requirement=requirements/dev.txt"]
    assert environment["variables"] == {"WINE_ENV": "conda"}
    assert environment["name"] == project()["name"]


TEXT, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
PORT = {"onAutoForward": {"enum": ["notify", "openBrowser", "openPreview", "silent", "ignore"]}, "label": TEXT}
DEV_CONTAINER = {  # of devContainer.base.schema.json, what is used here
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("name", "image", "postCreateCommand", "postAttachCommand"), TEXT),
        "hostRequirements": {"properties": {"cpus": {"type": "integer"}, "memory": {"pattern": r"^\d+([tgmk]b)?$"}}},
        "forwardPorts": {"type": "array", "items": {"type": "integer", "maximum": 65535}},
        "portsAttributes": {"patternProperties": {r"^\d+$": {"properties": PORT, "additionalProperties": False}}},
        "remoteEnv": TEXTS,
        "customizations": {"type": "object"},
    },
}


def test_dev_container_sets_itself_up_by_make() -> None:
    """It has a supported Python, types what everybody types, and shows JupyterLab, the page and the API."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    jsonschema.validate(container, DEV_CONTAINER)
    typed = [container[when].split() for when in ("postCreateCommand", "postAttachCommand")]
    assert [(program, run("make", target, "--dry-run").returncode) for program, target in typed] == [("make", 0)] * 2
    assert re.search(r":1-3\.1[1-4]-", container["image"])
    assert container["forwardPorts"] == [8888, 8501, 8000]
    settings = json.loads((ROOT / ".devcontainer" / "jupyter_server_config.json").read_text())
    origin = re.compile(settings["ServerApp"]["allow_origin_pat"])
    assert origin.fullmatch("https://a-student-x4g5-8888.app.github.dev")
    assert not origin.match("https://evil.example.org/https://a-8888.app.github.dev")


# The layout


@in_git
def test_top_level_is_the_agreed_layout() -> None:
    """The first look at the repository shows what it is made of and nothing else."""
    names = {path.split("/")[0] for path in run("git", "ls-files").stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


# Serving


def answers(port: int, path: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_answered(port: int, path: str, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answers(port, path):
        assert server.poll() is None, "make serve ended before it answered"
        assert time.monotonic() < deadline, f"nothing answers on port {port}"
        time.sleep(0.1)


@pytest.fixture
def served(promoted: FolderRegistry) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """`make serve` as a person starts it, on two free ports: the process, the API's port and the page's."""
    api, page = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    server = subprocess.Popen(
        ["make", "serve", f"API_PORT={api}", f"UI_PORT={page}"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        env=environment | {"WINE_REGISTRY": f"folder:{promoted.root}", "PORT": "1"},
    )  # fmt: skip
    try:
        yield server, api, page
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=PATIENCE)


def test_ctrl_c_stops_both_servers(served: tuple[subprocess.Popen[str], int, int]) -> None:
    """Both addresses are printed and answer, whatever PORT says, until one Ctrl-C ends both."""
    server, api, page = served
    wait_until_answered(api, "/health", server)
    wait_until_answered(page, "/_stcore/health", server)
    os.killpg(server.pid, signal.SIGINT)
    said, _ = server.communicate(timeout=PATIENCE)
    assert f"http://localhost:{api} " in said
    assert f"http://localhost:{page}\n" in said
    assert not answers(api, "/live")
    assert not answers(page, "/_stcore/health")


def test_neither_server_goes_on_alone(promoted: FolderRegistry) -> None:
    """An API that cannot start, because its port is taken, ends the page too, and make says that it failed."""
    page = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        failed = run("make", "serve", f"API_PORT={taken.getsockname()[1]}", f"UI_PORT={page}",
                     WINE_REGISTRY=f"folder:{promoted.root}")  # fmt: skip
    assert failed.returncode != 0
    assert "the other is stopped too" in failed.stderr
    assert not answers(page, "/_stcore/health")
