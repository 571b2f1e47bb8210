"""The reports that were published last, so that a run publishes also the pages that it does not make itself.

    python3 .github/published.py monitoring   what monitoring left: a training does not look at the log
    python3 .github/published.py all          all but that: a look at the log trains nothing

They are the newest artifact `site` of a run on main, whichever workflow it was of; a file that is here already stays.
Needs GitHub's `gh`.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import command
from command import output, say

REPORTS: Final = Path(__file__).parents[1] / "reports"
SITE: Final = "site"
OF_MONITORING: Final = ("07_monitoring.html", "07_monitoring.ipynb", "monitor.json")


def newest() -> str | None:
    """The run that left the newest site, if there is one that was not deleted yet."""
    listed = json.loads(output("gh", "api", f"repos/{{owner}}/{{repo}}/actions/artifacts?name={SITE}&per_page=100"))
    there = [
        each for each in listed["artifacts"] if not each["expired"] and each["workflow_run"]["head_branch"] == "main"
    ]
    return str(max(there, key=lambda each: each["created_at"])["workflow_run"]["id"]) if there else None


def fetch(*, of_monitoring: bool) -> None:
    """Put into reports what is not there yet: of monitoring, or all else."""
    run = newest()
    if run is None:
        say("no reports were published yet")
        return
    with TemporaryDirectory() as scratch:
        output("gh", "run", "download", run, "--name", SITE, "--dir", scratch)
        files = [path for path in Path(scratch).rglob("*") if path.is_file()]
        wanted = [path for path in files if (path.relative_to(scratch).as_posix() in OF_MONITORING) == of_monitoring]
        new = [path for path in wanted if not (REPORTS / path.relative_to(scratch)).exists()]
        for path in new:
            target = REPORTS / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    say(f"{len(new)} files of the reports that run {run} left")


if __name__ == "__main__":
    commands = {"monitoring": lambda: fetch(of_monitoring=True), "all": lambda: fetch(of_monitoring=False)}
    sys.exit(command.run(__doc__, commands))
