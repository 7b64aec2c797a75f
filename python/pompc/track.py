"""Brings the numbers of a run to MLflow or Weights & Biases, where their packages are installed.

  python3 -m pompc.track runs/a --to mlflow --experiment swingup          # while the run goes on, or after it
  python3 -m pompc.track 10.0.0.2:7000 --to wandb --project pompc

A run's directory gives every row of metrics.csv, timings.csv and evaluations.csv, a learner's address its status now
and then. Steps are updates. Names are those of the run's TensorBoard files: update/<column>, run/<rate>,
evaluation/<column>.
"""

import argparse
import importlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from pompc import limits
from pompc.errors import Failed, Refused
from pompc.policy import parse_config
from pompc.run import Run, rows_of_table

POLL_SECONDS = 10.0
# What MLflow takes at once, and of a parameter's value.
_MOST_PARAMETERS = 100
_MOST_CHARACTERS = 500

Point = tuple[int, dict[str, float]]  # (update, values by name)


class Sink(Protocol):
    """Where numbers go."""

    def log(self, update: int, values: dict[str, float]) -> None: ...
    def close(self) -> None: ...


class MlflowSink:
    """A run of MLflow: `experiment` names its experiment; further settings are MLflow's own (MLFLOW_TRACKING_URI)."""

    def __init__(self, run_id: str, config: dict[str, str], experiment: str = "pompc"):
        self._mlflow = _package("mlflow")
        self._mlflow.set_experiment(experiment)
        self._mlflow.start_run(run_name=run_id)
        items = [(name, value[:_MOST_CHARACTERS]) for name, value in config.items()]
        for begin in range(0, len(items), _MOST_PARAMETERS):
            self._mlflow.log_params(dict(items[begin:begin + _MOST_PARAMETERS]))

    def log(self, update: int, values: dict[str, float]) -> None:
        self._mlflow.log_metrics(values, step=update)

    def close(self) -> None:
        self._mlflow.end_run()


class WandbSink:
    """A run of Weights & Biases in `project`; further settings are its own (WANDB_MODE=offline, ...)."""

    def __init__(self, run_id: str, config: dict[str, str], project: str = "pompc"):
        self._run = _package("wandb").init(project=project, name=run_id, config=dict(config))
        # Rows of the tables come in an order of their own: each has its update as a number.
        self._run.define_metric("*", step_metric="update")

    def log(self, update: int, values: dict[str, float]) -> None:
        self._run.log({"update": update, **values})

    def close(self) -> None:
        self._run.finish()


SINKS: dict[str, Callable[..., Sink]] = {"mlflow": MlflowSink, "wandb": WandbSink}
# What each takes beside the run's id and config.
_SETTINGS = {"mlflow": "experiment", "wandb": "project"}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Refused(f"{error}: pip install {name}") from None


class _Folder:
    """What is new in the tables of a run's directory."""

    _TABLES = (("metrics.csv", "update", "update"), ("timings.csv", "update", "run"),
               ("evaluations.csv", "updates", "evaluation"))

    def __init__(self, run: Run):
        assert run.folder is not None
        self._folder = run.folder
        self._done = {name: 0 for name, *_ in self._TABLES}

    def points(self) -> Iterator[Point]:
        for name, step, prefix in self._TABLES:
            rows = rows_of_table(self._folder / name)
            # A resumed run has dropped rows after its checkpoint, and makes them again.
            begin = min(self._done[name], len(rows))
            self._done[name] = len(rows)
            if rows and step not in rows[0]:
                raise Failed(f"{self._folder / name} has no column {step}, so it is no table of a run")
            for row in rows[begin:]:
                if not isinstance(row[step], int):
                    raise Failed(f"{self._folder / name}: {step} is {row[step]!r} and no whole number")
                yield int(row[step]), {f"{prefix}/{column}": float(value) for column, value in row.items()
                                       if column != step and isinstance(value, (int, float))}

    def over(self) -> bool:
        return (self._folder / "ended.json").exists()


class _Learner:
    """The status of a run, each time it is asked, and evaluations that are new. A learner that does not answer is asked
    again the next time: it may be starting again."""

    def __init__(self, run: Run, tries: int):
        """`tries`: how often in a row it may not answer; then points() raises Failed."""
        self._run, self._tries, self._evaluations, self._over, self._unanswered = run, tries, 0, False, 0

    def points(self) -> Iterator[Point]:
        try:
            status = self._run.status()
        except Failed as error:
            self._unanswered += 1
            if self._unanswered >= self._tries:
                times = f" {self._unanswered} times in a row" if self._tries > 1 else ""
                raise Failed(f"the learner did not answer{times}, so nothing more is tracked: {error}. What it made is "
                             "in the run's directory, which can be tracked too") from error
            return
        self._unanswered = 0
        self._over = status["phase"] in ("FINISHED", "STOPPING")
        names = ("rows", "rows_per_second", "updates_per_second", "episodes", "training_return_mean")
        yield status["updates"], {f"run/{name}": float(status[name]) for name in names if status[name] is not None}
        for result in status["evaluations"][self._evaluations:]:
            yield result["updates"], {f"evaluation/{name}": float(value) for name, value in result.items()
                                      if name not in ("updates", "version")}
        self._evaluations = len(status["evaluations"])

    def over(self) -> bool:
        return self._over


def _open(to: str, run: Run, settings: dict[str, Any]) -> Sink:
    """The sink of that name, one of SINKS. Refused and Failed as follow() says."""
    for name in settings:
        if name != _SETTINGS[to]:
            raise Refused(f"{to} has no setting {name!r}: {_SETTINGS[to]!r} is its only one")
    run_id, config = run.run_id(), parse_config(run.config())
    try:
        return SINKS[to](run_id, config, **settings)
    except Refused:
        raise
    except Exception as error:
        raise Failed(f"{to} did not begin a run: {error}") from error


def _give(sink: Sink, update: int, values: dict[str, float], stop: threading.Event) -> None:
    """Failed if the tracker does not take the numbers after some tries."""
    for attempt in range(1, limits.SINK_TRIES + 1):
        try:
            sink.log(update, values)
            return
        except Exception as error:
            if attempt == limits.SINK_TRIES:
                raise Failed(f"the tracker did not take the numbers of update {update} {attempt} times in a row, so "
                             f"nothing more is tracked: {error}") from error
            stop.wait(limits.RETRY_SECONDS)


def follow(where: str | os.PathLike[str] | Run, to: str | Sink, *, once: bool = False,
           stop: threading.Event | None = None, seconds: float = POLL_SECONDS, **settings: Any) -> int:
    """Brings the numbers of a run (its directory, its learner's address or a Run) to "mlflow" or "wandb", or to a Sink
    of your own, until the run is over or `stop` is set; `once`: those that are there now. Looks for new ones every so
    many `seconds`. `settings`: `experiment` of MLflow, `project` of Weights & Biases. Returns how many points were
    logged. Refused where there is no such run, tracker or setting, or the package is not installed. Failed, with what
    to do, where a learner does not answer limits.TRACK_TRIES times in a row (with `once`: at all), or the tracker does
    not begin a run, or does not take something limits.SINK_TRIES times."""
    run = where if isinstance(where, Run) else Run(where)
    if isinstance(to, str) and to not in SINKS:
        raise Refused(f"there is no tracker {to!r}: {', '.join(SINKS)}, or an object with log(update, values) and "
                      "close()")
    if not isinstance(to, str) and not (callable(getattr(to, "log", None)) and callable(getattr(to, "close", None))):
        raise Refused(f"{to!r} has no log(update, values) and close()")
    source: _Folder | _Learner = _Folder(run) if run.folder is not None else _Learner(
        run, 1 if once else limits.TRACK_TRIES)
    sink = _open(to, run, settings) if isinstance(to, str) else to
    stop, logged = stop or threading.Event(), 0
    try:
        while True:
            over = source.over()  # before the last look, so that nothing is left behind
            for update, values in source.points():
                # Numbers that are none cannot be drawn.
                _give(sink, update, {name: value for name, value in values.items() if math.isfinite(value)}, stop)
                logged += 1
            if once or over or stop.wait(seconds):
                return logged
    finally:
        sink.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(prog="pompc.track", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run's directory, or its learner's host:port")
    parser.add_argument("--to", choices=tuple(SINKS), required=True)
    parser.add_argument("--experiment", help="of MLflow (default: pompc)")
    parser.add_argument("--project", help="of Weights & Biases (default: pompc)")
    parser.add_argument("--once", action="store_true", help="what is there now, and end")
    flags = parser.parse_args(arguments)
    settings = {name: value for name in ("experiment", "project") if (value := getattr(flags, name))}
    try:
        logged = follow(flags.run, flags.to, once=flags.once, **settings)
    except (Refused, Failed) as error:
        print(f"pompc.track: {error}", file=sys.stderr)
        return 2 if isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        return 130
    print(f"{logged} points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
