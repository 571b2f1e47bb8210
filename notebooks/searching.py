"""A search: settings are drawn from a declared space, fitted on folds by Dask's workers, and kept in a study on disk.

Optuna is asked and told here, by one process alone; a worker gets wines and settings, and gives back what came of them.
A study is known by the digest of its space, its dataset and its folds: the same search goes on where it was left.
"""

import hashlib
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import cloudpickle
import export_onnx
import numpy as np
import onnxruntime
import pandas as pd
import recipes
import wandb
import yaml
from distributed import as_completed
from numpy.typing import NDArray
from parameters import Refused, checked, declared
from threadpoolctl import threadpool_limits

from wine_serving.provenance import VERSION
from wine_serving.registry import tracking
from wine_serving.schema import INPUTS, TARGET, encode_columns
from wine_serving.settings import ROOT
from wine_serving.settings import Settings as WineSettings
from wine_serving.workers import connected

with warnings.catch_warnings():  # of a progress bar that it would show in notebooks
    warnings.filterwarnings("ignore", message="IProgress not found")
    import optuna

TRAINING: Final = ROOT / "notebooks" / "03_training.ipynb"
EVERY: Final = 5.0  # seconds between two lines of progress
AHEAD: Final = 2  # trials that wait for each worker, so that none is idle
Settings = dict[str, Any]  # `estimator`, and parameters of it
Space = dict[str, dict[str, Any]]  # estimator → parameter → where it may lie

for _module in (recipes, export_onnx, sys.modules[__name__]):  # workers elsewhere have no such files
    cloudpickle.register_pickle_by_value(_module)
optuna.logging.set_verbosity(optuna.logging.WARNING)


class Tried(TypedDict):
    """What came of settings: the RMSE of each fold, what a fold's model weighs and takes, and how long it took."""

    rmse: list[float]
    megabytes: float
    microseconds: float  # for one wine, in a batch of a thousand
    seconds: float


def read_space(path: Path) -> Space:
    """Estimator → parameter → where it may lie; Refused where 03_training has no such thing or takes no such value."""
    try:
        space = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"SPACE={path} cannot be read: {error}") from None
    if not isinstance(space, dict) or not all(isinstance(each, dict) for each in space.values()):
        raise Refused(f"SPACE={path} must name estimators, and of each the parameters with their values")
    if not any(space.values()):
        raise Refused(f"SPACE={path} leaves nothing to choose: name a parameter of an estimator, and its values")
    for estimator, choices in space.items():
        checked(TRAINING, {"estimator": estimator})
        for name, where in choices.items():
            for value in ends(name, where):
                checked(TRAINING, {name: value})
    return space


def ends(name: str, where: Any) -> list[Any]:
    """The values that decide whether a choice can be taken: all of a list, both ends of a range."""
    match where:
        case list() if where:
            return where
        case {"range": [low, high]} | {"log": [low, high]} if len(where) == 1 and low < high:
            return [low, high]
    raise Refused(f"{name}: {where} is no choice: write a list of values, range: [low, high], or log: [low, high]")


def default_settings() -> Settings:
    """What 03_training does when nobody says otherwise."""
    known = {name: each.default for name, each in declared(TRAINING).items()}
    names = ("estimator", "n_estimators", "min_samples_leaf", "max_features", "learning_rate")
    return {name: known[name] for name in names}


def whole(settings: Settings) -> Settings:
    """With the defaults of what is not named, as training takes them."""
    return default_settings() | settings


def fit(settings: Settings, train: pd.DataFrame, folds: NDArray[np.int64], seed: int) -> Tried:
    """Fit on all folds but one, in one thread, and predict that one, in turn; `settings` name every parameter."""
    begun, found = time.process_time(), []
    with threadpool_limits(1):
        for fold in np.unique(folds):
            known, held_out = train[folds != fold], train[folds == fold]
            model = recipes.recipe(settings["estimator"], settings, seed).fit(known, known[TARGET])
            found.append(float(np.sqrt(np.mean((held_out[TARGET] - model.predict(held_out)) ** 2))))
        exported = export_onnx.export(model)
    return {
        "rmse": found,
        "megabytes": exported.ByteSize() / 1e6,
        "microseconds": speed(exported.SerializeToString(), train),
        "seconds": time.process_time() - begun,
    }


def speed(exported: bytes, wines: pd.DataFrame) -> float:
    """Microseconds for one wine, in the quickest of five batches of a thousand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    rows = np.resize(encode_columns(wines), (1000, len(encode_columns(wines.head(1))[0])))
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        session.run(None, {"features": rows})
        times.append(1000 * (time.perf_counter() - begun))
    return min(times)


class Study:
    """The trials of one search, on disk."""

    def __init__(self, space: Space, dataset: str, folds: NDArray[np.int64], place: Path) -> None:
        """`dataset` is a digest; studies lie in `place`."""
        self._place = place
        known = json.dumps([space, dataset, folds.tolist(), default_settings()], sort_keys=True)
        self.name = hashlib.sha256(known.encode()).hexdigest()[:12]
        self._space = space
        place.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{place / f'{self.name}.sqlite'}")
        self._study = optuna.create_study(
            storage=storage, study_name=self.name, direction="minimize", load_if_exists=True
        )
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if not _ended(trial):  # whoever asked for it was killed
                self._study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
            self._close(trial.number, trial.user_attrs)

    def table(self) -> pd.DataFrame:
        """One row for each trial that came to an end, in order: settings, folds, size, time, or its error."""
        return pd.DataFrame([_row(trial) for trial in self._ended()])

    def _ended(self) -> list[Any]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if _ended(trial)]

    def ask(self, seed: int) -> tuple[Any, Settings]:
        """The next trial: first the defaults, then what has no parameters, then what Optuna proposes."""
        asked = self._study.get_trials(deepcopy=False)
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed + len(asked)
        )  # else it would begin anew when resumed
        taken = [trial.user_attrs.get("settings") for trial in asked]
        first = [default_settings(), *({"estimator": name} for name, choices in self._space.items() if not choices)]
        trial = self._study.ask()
        settings = trial.user_attrs.get("settings")  # of one that is tried again
        if settings is None:
            settings = next((each for each in first if each not in taken), None) or self._drawn(trial)
        trial.set_user_attr("settings", settings)
        return trial, settings

    def _drawn(self, trial: Any) -> Settings:
        open_to_choice = [name for name, choices in self._space.items() if choices]
        settings: Settings = {"estimator": trial.suggest_categorical("estimator", open_to_choice)}
        for name, where in self._space[settings["estimator"]].items():
            settings[name] = _suggested(trial, f"{settings['estimator']}.{name}", where)
        return settings

    def tell(self, trial: Any, tried: Tried | Exception) -> None:
        """What came of a trial."""
        if isinstance(tried, Exception):
            trial.set_user_attr("error", f"{type(tried).__name__}: {tried}")
        else:
            trial.set_user_attr("tried", dict(tried))
        self._close(trial.number, trial.user_attrs)

    def _close(self, number: int, noted: Mapping[str, Any]) -> None:
        """Tell Optuna how a trial has ended, from what is noted of it."""
        if "tried" in noted:
            self._study.tell(number, float(np.mean(noted["tried"]["rmse"])))
        else:
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)

    def carry_out(self, n: int, train: pd.DataFrame, folds: NDArray[np.int64], seed: int) -> None:
        """Go on until n trials have ended, saying on stderr how far it has come."""
        missing = n - len(self._ended())
        if missing <= 0:
            return
        with connected(WineSettings.from_environment().dask_scheduler) as client:
            wines = train[[*INPUTS, TARGET]]  # few enough to go along with each trial: no worker holds the only copy
            ahead = AHEAD * max(sum(client.nthreads().values()), 1)
            waiting: dict[Any, Any] = {}
            ready, begun = as_completed([]), time.monotonic()
            told = begun
            while missing > 0 or waiting:
                while missing > 0 and len(waiting) < ahead:
                    trial, settings = self.ask(seed)
                    future = client.submit(fit, whole(settings), wines, folds, seed, pure=False)
                    waiting[future] = trial
                    ready.add(future)
                    missing -= 1
                future = next(ready)
                self.tell(waiting.pop(future), result_of(future))
                if time.monotonic() - told > EVERY or not (missing or waiting):
                    told = time.monotonic()
                    print(f"… {self.progress(n)}, {told - begun:.0f} s", file=sys.stderr, flush=True)

    def judge(
        self, each: Sequence[Settings], train: pd.DataFrame, repeats: Sequence[NDArray[np.int64]], seed: int
    ) -> NDArray[np.float64]:
        """The RMSE of each of these settings on all folds of all repeats; kept, so that it is asked only once."""
        kept: dict[str, list[float]] = self._study.user_attrs.get("judged", {})
        keys = [
            [f"{json.dumps(settings, sort_keys=True)} {digest_of(folds)}" for folds in repeats] for settings in each
        ]
        places = {key: (one, two) for one, row in enumerate(keys) for two, key in enumerate(row)}
        missing = {key: place for key, place in places.items() if key not in kept}
        if missing:
            with connected(WineSettings.from_environment().dask_scheduler) as client:
                wines = train[[*INPUTS, TARGET]]
                futures = {
                    key: client.submit(fit, whole(each[one]), wines, repeats[two], seed, pure=False)
                    for key, (one, two) in missing.items()
                }
                kept = kept | {key: future.result()["rmse"] for key, future in futures.items()}
            self._study.set_user_attr("judged", kept)
        return np.array([[value for key in row for value in kept[key]] for row in keys])

    def write_found(self, settings: Settings, dataset: str, seed: int) -> Path:
        """The profile that `make train PROFILE=found` trains: these settings, and from which search they are."""
        named = {"dataset": dataset, **settings, "seed": seed, "trials": len(self._ended()), "search": self.name}
        named |= {"publish_as": "candidate"}
        text = f"# Found by 06_search; `make train PROFILE=found` trains it.\nversion: {VERSION}\n"
        path = self._place / "found.yaml"
        path.write_text(text + yaml.safe_dump({"03_training": named}, sort_keys=False), encoding="utf-8")
        return path

    def untracked(self) -> list[int]:
        """Places of the trials that W&B has not been told of; the next time it has."""
        ended, told = self._ended(), self._study.user_attrs.get("tracked", [])
        self._study.set_user_attr("tracked", [trial.number for trial in ended])
        return [place for place, trial in enumerate(ended) if trial.number not in told]

    def progress(self, n: int) -> str:
        """How far it has come, and what is best so far."""
        ended = self._ended()
        best = min((trial for trial in ended if trial.value is not None), key=lambda each: each.value, default=None)
        shown = f": best RMSE {best.value:.4f} ({best.user_attrs['settings']['estimator']})" if best else ""
        return f"{len(ended)} of {n} trials{shown}"


def result_of(future: Any) -> Tried | Exception:
    """What came of it; whatever a setting does, it is a row with its error."""
    try:
        found: Tried = future.result()
    except Exception as error:  # noqa: BLE001 - as said
        return error
    finally:
        future.release()
    return found


def digest_of(folds: NDArray[np.int64]) -> str:
    """By which folds are known."""
    return hashlib.sha256(folds.tobytes()).hexdigest()[:12]


def _suggested(trial: Any, name: str, where: Any) -> Any:
    if isinstance(where, list):
        return trial.suggest_categorical(name, where)
    ((kind, (low, high)),) = where.items()
    suggest = trial.suggest_int if isinstance(low, int) and isinstance(high, int) else trial.suggest_float
    return suggest(name, low, high, log=kind == "log")


def _ended(trial: Any) -> bool:
    return bool({"tried", "error"} & {*trial.user_attrs})


def _row(trial: Any) -> dict[str, Any]:
    told = trial.user_attrs
    return {
        "trial": trial.number,
        "settings": told["settings"],
        "error": told.get("error", ""),
        **told.get("tried", {}),
    }


def described(settings: Settings) -> str:
    """Settings in a line.

    >>> described({"estimator": "extra_trees", "max_features": 4}), described(default_settings())
    ('extra_trees, max_features 4', 'the defaults')
    """
    if settings == default_settings():
        return "the defaults"
    values = (f"{name} {value:.4g}" for name, value in settings.items() if name != "estimator")
    return ", ".join([settings["estimator"], *values])


def in_words(where: Any) -> str:
    """Where a parameter may lie.

    >>> in_words([2, 3]), in_words({"log": [5, 40]})
    ('2 or 3', '5 to 40, by magnitude')
    """
    if isinstance(where, list):
        return " or ".join(map(str, where))
    ((kind, (low, high)),) = where.items()
    return f"{low} to {high}{', by magnitude' if kind == 'log' else ''}"


def track(group: str, row: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """A trial as a run of its own, beside the one that is open."""
    place = tracking(WineSettings.from_environment().registry)
    with wandb.init(
        id=f"{group}-{row['trial']}",
        name=f"trial {row['trial']}",
        group=group,
        job_type="trial",
        config=dict(row["settings"]),
        reinit="create_new",
        project=place["project"],
        entity=place.get("entity"),
    ) as run:
        plain = {name: value for name, value in summary.items() if isinstance(value, str | float | int)}
        run.summary.update(plain | difference_of(summary))


def difference_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The paired difference to the defaults, with the ends of its interval."""
    if (difference := summary.get("difference")) is None:
        return {}
    return {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
