"""A verdict on v1, judged against v0, and carrying it out in a process of its own, as one that may be killed.

python -m tests.serving.carrying_out REGISTRY PAGES [K]   with K it is killed right before its K-th rename, which is how
                                                          everything comes into being in a registry in a folder
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

from wine_serving.promotion import by_verdict
from wine_serving.registry import MODEL, PRODUCTION, Registry, open_registry
from wine_serving.verdict import Dataset, Gate, Judged, Metric, Verdict, Word


def judged(word: Word = "promote") -> Verdict:
    """A verdict on v1, judged against v0."""
    metrics = {"rmse": Metric(value=0.68, low=0.65, high=0.71)}
    return Verdict(
        verdict=word,
        promoted=False,
        reasons=("every gate holds",),
        gates=(Gate.judge("size", 1.2, "at most", 14, "memory is short", "MB"),),
        dataset=Dataset(version="v0", digest="0" * 64),
        candidate=Judged(version="v1", metrics=metrics),
        production=Judged(version="v0", metrics=metrics),
    )


def carry_out(registry: Registry, pages: Path) -> Verdict:
    """As an evaluation does it that has just been run, with a page that no other run has."""
    unchanged = registry.aliases(MODEL)[PRODUCTION] == "v1"
    (pages / "04_evaluation.html").write_text(f"<p>run by process {os.getpid()}</p>")
    return by_verdict(registry, judged("unchanged" if unchanged else "promote"), move=True, pages=pages)


def die_before(rename: int) -> None:
    """Of the renames of this process."""
    numbers = count(1)

    def die(event: str, _: object) -> None:
        if event == "os.rename" and next(numbers) == rename:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)


if __name__ == "__main__":
    uri, folder, *given = sys.argv[1:]
    if given:
        die_before(int(given[0]))
    carry_out(open_registry(uri), Path(folder))
