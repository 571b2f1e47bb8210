"""What follows from a pipeline's verdict, for who reads it and for what happens next.

    python3 notebooks/what_follows.py summary     the verdict and the metrics against production, as Markdown
    python notebooks/what_follows.py carry-out    let the candidate that was judged better become production
    python notebooks/what_follows.py decision     model=vN and deploy=true or false, as outputs of a workflow's step
    python notebooks/what_follows.py base         train what a pull request is based on (BASE, else HEAD^1), beside it
    python notebooks/what_follows.py comment      the summary, and what the pull request changes, as Markdown

On main an evaluation moves nothing: its verdict is carried out once all checks have passed, through `promotion`, and
only from where production stood when it was judged. PROFILE=quick promotes only where there is no production.

Promotion and deployment are two things. A push deploys code: with the version that was just promoted, else with the one
in production. A scheduled or manual retrain deploys only what it promoted. Where production was moved by a person (in
W&B, or by ACTION=promote or rollback) nothing was trained, and the version that it names now is deployed. Without any
production nothing is deployed.

Where there is a verdict there is the environment that reached it; without one any Python can say so.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wine_serving.verdict import Verdict

VERDICT: Final = Path(__file__).parents[1] / "reports" / "verdict.json"
LEFT_ALONE: Final = "production is left where it is"  # what an evaluation says that moves nothing
NOTHING: Final = (None, False, "no version is in production: nothing is built or deployed until one is promoted")


def summary(verdict: "Verdict | None") -> str:
    """Markdown for a step summary and a pull request."""
    if verdict is None:
        return (
            "## No verdict\n\nThe pipeline stopped before it judged. The artifact with the reports holds the page of "
            "the notebook that failed, up to the failing cell."
        )
    promoted = verdict.candidate.version if verdict.promoted else "nothing"
    lines = [
        f"## Verdict: {verdict.verdict}",
        "",
        f"{verdict.meaning.capitalize()}. Promoted: {promoted}.",
        "",
        *(f"- {reason}" for reason in verdict.reasons),
        "",
        *table(verdict),
        "",
        f"Dataset {verdict.dataset.version}; test split; 95 % intervals in brackets.",
    ]
    return "\n".join(lines)


def table(verdict: "Verdict") -> list[str]:
    """The metrics side by side."""
    from wine_serving.verdict import METRIC_NAMES

    candidate, production = verdict.candidate, verdict.production
    head = f"production {production.version}" if production else "no production yet"
    paired = verdict.difference.metrics if verdict.difference and verdict.difference.other == "production" else {}
    rows = [f"| | candidate {candidate.version} | {head} | paired difference |", "|---|---|---|---|"]
    same = "exactly zero" if verdict.verdict == "unchanged" else ""
    for name, metric in candidate.metrics.items():
        theirs = production.metrics.get(name, "") if production else ""
        rows.append(f"| {METRIC_NAMES.get(name, name)} | {metric} | {theirs} | {paired.get(name, same)} |")
    return rows


def decision(verdict: "Verdict", event: str) -> tuple[str | None, bool, str]:
    """The version to deploy (None: there is none), whether to deploy it now, and why."""
    if verdict.promoted:
        version = verdict.candidate.version
        return version, True, f"{version} was just promoted"
    if verdict.production is None:
        return NOTHING
    version = verdict.production.version
    if event == "push":
        return version, True, f"{verdict.verdict}: the code is deployed with production's {version}"
    return version, False, f"{verdict.verdict}: a retrain deploys only what it promotes; {version} stays"


def moved() -> tuple[str | None, bool, str]:
    """The same where production was moved outside of any pipeline: what its alias says now, not what an event says."""
    from wine_serving.errors import NothingPromoted, WineServingError  # late: a summary needs no environment
    from wine_serving.registry import MODEL, PRODUCTION, open_registry
    from wine_serving.settings import Settings

    try:
        version = open_registry(Settings.from_environment().registry).record(f"{MODEL}:{PRODUCTION}").version
    except NothingPromoted:
        return NOTHING
    except WineServingError as error:
        sys.exit(str(error))
    return version, True, f"production was moved to {version}"


def carry_out(verdict: "Verdict") -> str:
    """Let a candidate that is to be promoted become production, and say so in evaluation, verdict and front page."""
    import redaction
    from front_page import write_front_page

    from wine_serving.promotion import by_verdict
    from wine_serving.registry import open_registry
    from wine_serving.settings import Settings

    if verdict.verdict != "promote":
        return f"{verdict.verdict}: there is nothing to carry out"
    if verdict.production and os.environ.get("PROFILE") == "quick":
        return "a quick training promotes only where nothing is in production"
    registry = open_registry(Settings.from_environment().registry)
    reasons = tuple(reason for reason in verdict.reasons if not reason.startswith(LEFT_ALONE))
    done = by_verdict(registry, verdict.model_copy(update={"reasons": reasons}), move=True)
    redaction.write(VERDICT, done.model_dump_json(indent=1) + "\n")
    write_front_page(VERDICT.parent)
    return f"{done.candidate.version} is now production"


def read() -> "Verdict":
    """What the pipeline left."""
    from wine_serving.verdict import Verdict

    return Verdict.read(VERDICT.read_bytes())


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["summary", "carry-out", "decision", "base", "comment"])
    command = parser.parse_args().command
    verdict = read() if VERDICT.exists() else None
    event = os.environ.get("GITHUB_EVENT_NAME", "push")
    by_a_person = event == "repository_dispatch" or os.environ.get("ACTION") in ("promote", "rollback")
    if command == "summary":
        print(summary(verdict))
    elif command in ("base", "comment"):
        import pull_request  # late: a summary needs no environment

        return pull_request.main(command, verdict)
    elif verdict is None and not by_a_person:
        print(f"{VERDICT} is not there: run `make pipeline` first", file=sys.stderr)
        return 1
    elif command == "carry-out":
        return carried_out(verdict)
    else:
        version, deploy, reason = decision(verdict, event) if verdict and not by_a_person else moved()
        if version and not re.fullmatch(r"v\d+", version):
            print(f"{version!r} is no version, which is v and a number: nothing is built or deployed", file=sys.stderr)
            return 1
        one_line = " ".join(reason.split())  # each line of what is printed here is an output of the workflow's step
        print(f"model={version or ''}\ndeploy={str(deploy).lower()}\nreason={one_line}")
    return 0


def carried_out(verdict: "Verdict | None") -> int:
    """Carry out a verdict if there is one; 0 when that went well."""
    from wine_serving.errors import WineServingError

    try:
        print(carry_out(verdict) if verdict else "nothing was judged")
    except WineServingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
