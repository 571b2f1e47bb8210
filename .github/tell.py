"""Tell people what runs that nobody waits for came to: one open issue each, kept up to date and closed when it is over.

    python3 .github/tell.py monitoring    while production does not do what it was promoted for; trains on new grades
    python3 .github/tell.py training      a training that failed, promoted something or waits for a decision
    python3 .github/tell.py summary       what monitoring found, as Markdown for the page of the run
    python .github/tell.py alert-monitoring, alert-training     the same as an alert in W&B, where there is a key

What was found stands in reports/monitor.json and reports/verdict.json; NEEDS is what GitHub knows of the jobs before
(`toJSON(needs)`), NEW_GRADES a version of the grades that no dataset was made from. An issue is known by its label.
Needs GitHub's `gh`; only an alert needs the environment.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import command
from command import FailedError, output, say

REPORTS: Final = Path(__file__).parents[1] / "reports"
MONITORING, LOOKING, TRAINING = "monitoring", "run of monitor", "run of main"  # labels: one open issue each
WORDS: Final = {"worse": "production has become worse", "inputs_changed": "the wines have changed"}
TASTE: Final = (
    "No look at measurements can see a change of taste, and training again on the same grades changes nothing: "
    "`make sample N=30 LOG=…` names wines to be tasted, `make grades CSV=… LOG=…` brings what tasters said."
)


class News(NamedTuple):
    """What somebody should know."""

    title: str
    text: str


def found(name: str) -> dict[str, Any] | None:
    """What a notebook left, if it came that far."""
    file = REPORTS / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def about(look: Mapping[str, Any]) -> str:
    """How a title about a look begins."""
    return f"Monitoring of {look['production']['version']}:"


def of_monitoring(look: Mapping[str, Any] | None) -> News | None:
    """What is to be said of a look."""
    if look is None or look["simulated"] or look["answer"] not in WORDS:
        return None
    return News(f"{about(look)} {WORDS[look['answer']]}", "\n".join([*told(look), "", TASTE, where("07_monitoring")]))


def told(look: Mapping[str, Any]) -> list[str]:
    """What was found, and when."""
    alarms = [each for each in look["looks"] if each["outcome"] == "alarm"]
    seen = f"Looked at {look['production']['version']} on {look['at'][:10]}, weeks up to {look['until'][:10]}."
    return [look["sentence"], "", *(f"- {each['name']}, {each['window']}: {each['why']}" for each in alarms), "", seen]


def summary() -> None:
    """What monitoring found, for the page of the run."""
    look = found("monitor.json")
    told_so = ["## No look", "", "The notebook stopped before it answered, or there was no log to look at."]
    say("\n".join([f"## {about(look)} {look['answer'].replace('_', ' ')}", "", *told(look)] if look else told_so))


def of_training(verdict: Mapping[str, Any] | None) -> News | None:
    """What is to be said of a verdict that nobody waited for."""
    version = verdict["candidate"]["version"] if verdict else ""
    if verdict and verdict["promoted"]:
        title = f"{version} is now production"
    elif verdict and verdict["verdict"] == "hold":
        title = f'{version} waits for a decision: `make promote VERSION={version} REASON="…"`, or nothing'
    else:
        return None
    reasons = [f"- {reason}" for reason in verdict["reasons"]]
    return News(
        title, "\n".join(["A training that nobody waited for came to this:", *reasons, "", where("04_evaluation")])
    )


def of_failure(what: str) -> News | None:
    """Which jobs failed, if any did."""
    results = {name: job["result"] for name, job in json.loads(os.environ.get("NEEDS") or "{}").items()}
    failed = [name for name, result in results.items() if result in ("failure", "cancelled")]
    if not failed:
        return None
    return News(f"{what} failed: {', '.join(failed)}", f"It is tried again in a week. What it said: {this_run()}")


def this_run() -> str:
    """The address of the run of the workflow."""
    known = {name: os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")}
    return "{SERVER_URL}/{REPOSITORY}/actions/runs/{RUN_ID}".format(**known)


def where(report: str) -> str:
    """Where to read more."""
    published = os.environ.get("WINE_REPORTS_URL")
    return (
        f"The report: {published}/{report}.html" if published else f"The report is among the artifacts of {this_run()}"
    )


def keep(label: str, news: News | None, *, unless: str | None = None) -> None:
    """One open issue with that label while there are news, and none when there are none, `unless` it begins so."""
    listed = json.loads(output("gh", "issue", "list", "--label", label, "--state", "open", "--json", "number,title"))
    numbers = [str(issue["number"]) for issue in listed]
    if news is None:
        over = [str(issue["number"]) for issue in listed if not unless or not issue["title"].startswith(unless)]
        for number in over:
            output("gh", "issue", "close", number, "--comment", f"This is over: {this_run()}")
            say(f"closed the issue {number}")
        return
    text = news.text.replace("@", "@\u200b")  # nobody is called by what stands in a log
    if numbers:
        output("gh", "issue", "edit", numbers[0], "--title", news.title, "--body", text)
        output("gh", "issue", "comment", numbers[0], "--body", f"Still so, or again: {news.title}. {this_run()}")
        say(f"updated the issue {numbers[0]}")
    else:
        output("gh", "label", "create", label, "--force", "--description", "Opened and closed by a workflow")
        say(output("gh", "issue", "create", "--title", news.title, "--body", text, "--label", label).strip())


def monitoring() -> None:
    """Issues of monitoring, and a training where there are grades to learn from."""
    failed, look = of_failure("The weekly look at production"), found("monitor.json")
    keep(LOOKING, failed)
    if look and not look["simulated"]:
        keep(MONITORING, of_monitoring(look), unless=about(look) if look["answer"] == "too_few" else None)
    if grades := os.environ.get("NEW_GRADES"):
        output(
            "gh",
            "workflow",
            "run",
            "main.yml",
            "--ref",
            "main",
            "--field",
            f"parameters=-p grades {grades}",
            "--field",
            "unattended=true",
        )
        say(f"started a training with {grades}")


def training() -> None:
    """The issue of a training that nobody waited for."""
    keep(TRAINING, of_failure("A training that nobody waited for") or of_training(found("verdict.json")))


def alert(news: News | None) -> None:
    """An alert in W&B, where there is a key; who gets it by mail or Slack, each person there says."""
    if news is None or not os.environ.get("WANDB_API_KEY"):
        say("there is nothing to alert anybody of, or no key of W&B")
        return
    import wandb

    from wine_serving.registry import tracking
    from wine_serving.settings import Settings

    try:
        with wandb.init(job_type="alert", **tracking(Settings.from_environment().registry)) as run:
            run.alert(title=news.title, text=news.text, level="WARN")
    except wandb.Error as error:
        raise FailedError(f"W&B took no alert ({error}): the issue says the same") from None


if __name__ == "__main__":
    sys.exit(
        command.run(
            __doc__,
            {
                "monitoring": monitoring,
                "training": training,
                "summary": summary,
                "alert-monitoring": lambda: alert(of_monitoring(found("monitor.json"))),
                "alert-training": lambda: alert(of_training(found("verdict.json"))),
            },
        )
    )
