"""The one door through which production moves: by a verdict, by hand, and back."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wine_serving.bundle import Bundle
from wine_serving.errors import RegistryError
from wine_serving.provenance import current_user
from wine_serving.registry.promises import (
    DATASET,
    EVALUATION,
    MODEL,
    PRODUCTION,
    AliasMove,
    Record,
    Registry,
    alias_moved,
)
from wine_serving.verdict import Verdict

BY_VERDICT: Final = "evaluation: "  # so begins the reason of a move that no person made
BACK_FROM: Final = "rollback from "  # followed by the version: so begins the reason of a rollback


def by_verdict(
    registry: Registry, verdict: Verdict, *, move: bool, pages: Path | None = None, run: Any = None
) -> Verdict:
    """Publish the evaluation, attach it to the candidate, and with `move` let a promoted candidate become production.

    The evaluation is the verdict and the files in the folder `pages`; one that was published before (`report`) is only
    carried out. The alias moves after both, and only from where it stood when it was judged. Until it has moved,
    nothing says `promoted`: the published files leave that open for good, and the records of evaluation and candidate
    say it once it is true. Carrying out a verdict again changes nothing, or completes what somebody who was stopped
    left undone; so does `unchanged`, which publishes nothing. The verdict comes back as it was carried out.
    """
    version = verdict.candidate.version
    if verdict.verdict == "unchanged":
        _complete(registry, version)
        return verdict
    judged_against = verdict.production.version if verdict.production else None
    standing = registry.aliases(MODEL).get(PRODUCTION)
    promotes = move and verdict.verdict == "promote"
    moves = promotes and standing != version
    if moves and standing != judged_against:
        raise alias_moved(MODEL, PRODUCTION, standing, judged_against)
    open_yet = verdict.model_copy(update={"promoted": None if verdict.verdict == "promote" else False})
    report = verdict.report or _publish(registry, open_yet, pages, run)
    if moves:
        about_to = open_yet.model_copy(update={"report": report})
        registry.attach_evaluation(f"{MODEL}:{version}", about_to.as_data())
        reason = f"{BY_VERDICT}{verdict.reasons[0]}"
        registry.move_alias(MODEL, PRODUCTION, version, reason=reason, by=current_user(), expected=standing)
    return _note(registry, verdict.model_copy(update={"promoted": promotes, "report": report}), report)


def by_hand(registry: Registry, version: str, reason: str) -> str:
    """Point `production` at `version` once its bundle has loaded and answered its golden wines; says what was done."""
    if not version or not reason.strip():
        raise RegistryError('a promotion by hand names a version and a reason: make promote VERSION=vN REASON="…"')
    record = registry.record(f"{MODEL}:{version}")
    standing = registry.aliases(MODEL).get(PRODUCTION)
    Bundle.load(registry.fetch(record.ref)).check_golden()
    registry.move_alias(MODEL, PRODUCTION, record.version, reason=reason, by=current_user(), expected=standing)
    if standing == record.version:
        return f"{record.ref} is {PRODUCTION} already"
    return f"{PRODUCTION}: {standing or 'nothing'} → {record.ref} ({reason})"


def back(registry: Registry, reason: str) -> str:
    """Point `production` back at the version that stood before; says what was done.

    Again it goes further back, and never to a version that was rolled back from, until a person promotes that again.
    The history tells a rollback by how its reason begins.
    """
    stood, refused = _standings(registry.history(MODEL))
    there = {record.version for record in registry.records(MODEL)} - refused
    target = next((version for version in reversed(stood[:-1]) if version in there and version != stood[-1]), None)
    if target is None:
        raise RegistryError(
            f"there is nothing to roll back to: no version stood in {PRODUCTION} before that is still there and was "
            'not rolled back from; `make promote VERSION=vN REASON="…"` takes any'
        )
    return by_hand(registry, target, f"{BACK_FROM}{stood[-1]}" + (f": {reason}" if reason else ""))


def _standings(history: Sequence[AliasMove]) -> tuple[list[str], set[str]]:
    """The versions that stood in production, each before the next, without what was taken back; and what was.

    >>> move = AliasMove.model_construct
    >>> first = move(previous=None, version="v0", reason="first")
    >>> better = move(previous="v0", version="v1", reason="better")
    >>> _standings([first, better, move(previous="v1", version="v0", reason="rollback from v1: smelt odd")])
    (['v0'], {'v1'})
    """
    stood: list[str] = []
    refused: set[str] = set()
    for move in history:
        if move.previous and stood[-1:] != [move.previous]:  # moved in W&B, where nothing told us
            stood.append(move.previous)
        if move.previous and f"{move.reason}:".startswith(f"{BACK_FROM}{move.previous}:"):
            refused.add(move.previous)
            while stood and stood[-1] != move.version:
                stood.pop()
        elif not move.reason.startswith(BY_VERDICT):
            refused.discard(move.version)
        if stood[-1:] != [move.version]:
            stood.append(move.version)
    return stood, refused


def _complete(registry: Registry, version: str) -> None:
    """What is missing of the evaluation that made `version` production, where who carried it out was stopped."""
    record = registry.record(f"{MODEL}:{version}")
    evaluations = [each for each in registry.records(EVALUATION) if _candidate(each) == record.ref]
    if not evaluations:
        return
    newest, attached = evaluations[-1], record.evaluation or {}
    if attached.get("report") == newest.ref and attached.get("promoted") is not None:
        return
    verdict = Verdict.read(newest.metadata)
    moves = [move for move in registry.history(MODEL) if move.version == version]
    promoted = verdict.promoted is not False and moves[-1:] != [] and moves[-1].reason.startswith(BY_VERDICT)
    _note(registry, verdict.model_copy(update={"promoted": promoted, "report": newest.ref}), newest.ref)


def _note(registry: Registry, done: Verdict, report: str) -> Verdict:
    """Say in both records what became of a verdict, in the candidate's last: what lacks there is completed."""
    for ref in (report, f"{MODEL}:{done.candidate.version}"):
        registry.attach_evaluation(ref, done.as_data())
    return done


def _candidate(evaluation: Record) -> str | None:
    """The reference of the model that was judged: of the models that an evaluation was made from, the first."""
    return next((ref for ref in evaluation.inputs if ref.startswith(f"{MODEL}:")), None)


def _publish(registry: Registry, verdict: Verdict, pages: Path | None, run: Any) -> str:
    """The reference of the published evaluation."""
    models = [model.version for model in (verdict.candidate, verdict.production) if model]
    inputs = [f"{DATASET}:{verdict.dataset.version}", *(f"{MODEL}:{version}" for version in models)]
    with tempfile.TemporaryDirectory() as scratch:
        if pages:
            shutil.copytree(pages, scratch, dirs_exist_ok=True)
        verdict.write(Path(scratch) / "verdict.json")
        record = registry.publish(
            Path(scratch), EVALUATION, kind="report", metadata=verdict.as_data(), inputs=inputs, run=run
        )
    return record.ref
