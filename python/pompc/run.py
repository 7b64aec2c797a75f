"""A run, through its learner or out of its folder."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from pompc import limits, messages, wire
from pompc.errors import Failed, Refused

_EVALUATION = ("evaluation_id", "version", "rows", "updates", "elapsed_seconds", "episodes", "return_mean",
               "return_ci95", "return_min", "return_max")


class Run:
    """A run at its learner's address, host:port, or in its directory (a path). Reads; stop() needs a learner, which a
    run that serves an address names in its directory. Thread-safe."""

    def __init__(self, where: str | os.PathLike[str], *, certificates: str | os.PathLike[str] | None = None):
        """Refused if it is neither an address nor the directory of a run. Failed, here and below, naming a file of the
        directory that cannot be read."""
        self.folder: pathlib.Path | None = None
        self.address = ""
        self._certificates = wire.certificates_folder(certificates)
        if not isinstance(where, (str, os.PathLike)):
            raise Refused(f"{where!r} is neither host:port nor a run's directory")
        if os.path.isdir(where):
            self.folder = pathlib.Path(where)
            if not (self.folder / "run.json").exists():
                raise Refused(f"{where} is not the directory of a run: it has no run.json")
            served = self.folder / "learner.json"
            if served.exists():
                self.address = wire.parse_address(_text_of(served, "address"))
        elif isinstance(where, str):
            try:
                self.address = wire.parse_address(where)
            except Refused:
                raise Refused(f"{where!r} is neither host:port nor a run's directory") from None
        else:
            raise Refused(f"there is no folder {where}")
        self._stub = wire.Stub("RunService", self.address, self._certificates) if self.address else None

    def _learner(self) -> wire.Stub:
        if self._stub is None:
            raise Refused(f"{self.folder} names no learner: the run serves no address (pompc train --listen)")
        return self._stub

    def _state(self) -> messages.GetRunReply:
        stub = self._learner()
        reply: messages.GetRunReply = wire.asked(stub.GetRun, messages.GetRunRequest(header=wire.header("")),
                                                 limits.CALL_SECONDS, stub.address)
        return reply

    def status(self) -> dict[str, Any]:
        """What the learner says of the run now: the fields of RunStatus (proto/run.proto) by their names, with run_id;
        enumerations as their names, versions as "incarnation.number". Failed where no learner answers."""
        reply = self._state()
        return {"run_id": reply.run_id, **as_dict(reply.status)}

    def run_id(self) -> str:
        """The run's id."""
        if self.folder is not None:
            return _text_of(self.folder / "run.json", "run_id")
        return str(self._state().run_id)

    def config(self) -> str:
        """The run's resolved config, as text."""
        if self.folder is not None:
            return _read(self.folder / "config.textproto")
        from google.protobuf import text_format
        resolved: Any = self._state().config
        return str(text_format.MessageToString(resolved))

    def evaluations(self) -> Any:
        """One row for each evaluation so far, oldest first: a pandas.DataFrame where pandas is installed, else a list
        of dicts. Columns as in evaluations.csv (docs/run-directory.md)."""
        if self.folder is not None:
            return table(self.folder / "evaluations.csv", _EVALUATION)
        return _framed([{name: _value(result, name) for name in _EVALUATION}
                        for result in self._state().status.evaluations], _EVALUATION)

    def metrics(self) -> Any:
        """metrics.csv of the run's directory: one row for every learner.log_every_updates updates. Refused where the
        run was given as an address."""
        if self.folder is None:
            raise Refused("metrics are in the run's directory: Run(DIRECTORY).metrics()")
        return table(self.folder / "metrics.csv")

    def stop(self) -> None:
        """Ends the run: the learner writes a last checkpoint and exits, actors and evaluators exit. Returns when the
        learner has heard it."""
        stub = self._learner()
        # The call names the run, so that it cannot end another one that has taken over the address.
        header = wire.header(self._state().run_id)
        wire.asked(stub.StopRun, messages.StopRunRequest(header=header), limits.CALL_SECONDS, stub.address)


def _read(path: pathlib.Path) -> str:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"{path} is no text: {error}") from error


def _text_of(path: pathlib.Path, name: str) -> str:
    """A text in an object of JSON."""
    try:
        value = json.loads(_read(path))[name]
    except (ValueError, LookupError, TypeError):
        value = None
    if not isinstance(value, str):
        raise Failed(f"{path} is damaged: it names no {name}")
    return value


def as_dict(message: Any) -> dict[str, Any]:
    """A message's fields by their names; those that are absent are None."""
    return {field.name: _value(message, field.name) for field in message.DESCRIPTOR.fields}


def _value(message: Any, name: str) -> Any:
    field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
    if not isinstance(value, (int, float, str, bytes)) and not hasattr(value, "DESCRIPTOR"):
        return [_plain(field, one) for one in value]
    if field.has_presence and not message.HasField(name):
        return None
    return _plain(field, value)


def _plain(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.name == "ParameterVersion":
            return f"{value.incarnation}.{value.number}"
        return as_dict(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named is not None else value
    return value


def table(path: pathlib.Path, otherwise: Sequence[str] = ()) -> Any:
    """A table of a run's directory: a pandas.DataFrame where pandas is installed, else a list of dicts. Empty while the
    run has not written it, then with the columns `otherwise`."""
    columns, rows = _parsed(path)
    return _framed(rows, columns or otherwise)


def rows_of_table(path: pathlib.Path) -> list[dict[str, Any]]:
    """The same as dicts: numbers, and the text of `version`."""
    return _parsed(path)[1]


def _parsed(path: pathlib.Path) -> tuple[Sequence[str], list[dict[str, Any]]]:
    """(columns, rows)."""
    text = _read(path) if path.exists() else ""
    # The run may be writing the last line just now.
    reader = csv.DictReader(io.StringIO(text[:text.rfind("\n") + 1], newline=""))
    try:
        rows = list(reader)
    except csv.Error as error:
        raise Failed(f"{path}: {error}") from error
    columns = reader.fieldnames or ()
    return columns, [{name: _number(row[name]) if name != "version" else row[name] for name in columns} for row in rows]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def _framed(rows: list[dict[str, Any]], columns: Sequence[str]) -> Any:
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=list(columns))
