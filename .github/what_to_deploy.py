"""What a pipeline's verdict means for who reads it and for what happens next.

    python3 .github/what_to_deploy.py summary    the verdict and the metrics against production, as Markdown
    python3 .github/what_to_deploy.py decision   model=vN and deploy=true or false, as outputs of a workflow's step

Promotion and deployment are two things. A push deploys code: with the version that was just promoted, else with the one
in production. A scheduled or manual retrain deploys only what it promoted. A repository_dispatch trains nothing and
deploys the version to which somebody moved `production`. Without any production nothing is deployed.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

VERDICT: Final = Path(__file__).parents[1] / "reports" / "verdict.json"
NAMES: Final = {"rmse": "RMSE", "mse": "MSE", "mae": "MAE", "r2": "R²", "coverage": "coverage of the 90 % interval"}
MEANING: Final = {
    "promote": "the candidate is better or at least no worse, and everything else holds",
    "decline": "the candidate does not replace production",
    "unchanged": "the candidate is what production already is",
}
MOVED: Final = "repository_dispatch"
NOTHING: Final = (None, False, "no version is in production: nothing is built or deployed until one is promoted")


def summary(verdict: dict[str, Any] | None) -> str:
    """Markdown for a step summary and a pull request."""
    if verdict is None:
        return (
            "## No verdict\n\nThe pipeline stopped before it judged. The artifact with the reports holds the page of "
            "the notebook that failed, up to the failing cell."
        )
    promoted = verdict["candidate"]["version"] if verdict["promoted"] else "nothing"
    lines = [
        f"## Verdict: {verdict['verdict']}",
        "",
        f"{MEANING[verdict['verdict']].capitalize()}. Promoted: {promoted}.",
        "",
        *(f"- {reason}" for reason in verdict["reasons"]),
        "",
        *table(verdict["candidate"], verdict["production"]),
        "",
        f"Dataset {verdict['dataset']['version']}; test split; 95 % intervals in brackets.",
    ]
    return "\n".join(lines)


def table(candidate: dict[str, Any], production: dict[str, Any] | None) -> list[str]:
    """The metrics side by side."""
    head = f"production {production['version']}" if production else "no production yet"
    rows = [f"| | candidate {candidate['version']} | {head} |", "|---|---|---|"]
    for name, label in NAMES.items():
        if name in candidate["metrics"]:
            theirs = figure(production["metrics"].get(name)) if production else ""
            rows.append(f"| {label} | {figure(candidate['metrics'][name])} | {theirs} |")
    return rows


def figure(metric: dict[str, float] | None) -> str:
    """One metric with its interval."""
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})" if metric else ""


def decision(verdict: dict[str, Any], event: str) -> tuple[str | None, bool, str]:
    """The version to deploy (None: there is none), whether to deploy it now, and why."""
    if verdict["promoted"]:
        version = verdict["candidate"]["version"]
        return version, True, f"{version} was just promoted"
    if verdict["production"] is None:
        return NOTHING
    version = verdict["production"]["version"]
    if event == "push":
        return version, True, f"{verdict['verdict']}: the code is deployed with production's {version}"
    return version, False, f"{verdict['verdict']}: a retrain deploys only what it promotes; {version} stays"


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


def main() -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["summary", "decision"])
    command = parser.parse_args().command
    verdict = json.loads(VERDICT.read_text(encoding="utf-8")) if VERDICT.exists() else None
    event = os.environ.get("GITHUB_EVENT_NAME", "push")
    if command == "summary":
        print(summary(verdict))
    elif verdict is None and event != MOVED:
        print(f"{VERDICT} is not there: run `make pipeline` first", file=sys.stderr)
        return 1
    else:
        version, deploy, reason = decision(verdict, event) if verdict and event != MOVED else moved()
        print(f"model={version or ''}\ndeploy={str(deploy).lower()}\nreason={reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
