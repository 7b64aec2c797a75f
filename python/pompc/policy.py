"""The policy of a checkpoint, in NumPy alone: for robots, notebooks and comparisons. It does not plan."""

import json
import os
import pathlib
import zlib
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

from pompc import tensor_file
from pompc.errors import Refused

Array = NDArray[Any]


def parse_config(text: str) -> dict[str, str]:
    """A config in protobuf's text format -> {"learner.batch_size": "256", ...}; of repeated messages the last one."""
    values: dict[str, str] = {}
    scope: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if line.endswith("{"):
            scope.append(line[:-1].strip().rstrip(":"))
        elif line == "}":
            scope.pop()
        elif ":" in line:
            name, _, value = line.partition(":")
            values[".".join((*scope, name))] = value.strip().strip('"')
    return values


def find_checkpoint(where: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a checkpoint: itself, or of a run's directory the best one (checkpoints/best), else the newest.
    Refused where there is none."""
    folder = pathlib.Path(where)
    if (folder / "state.json").exists():
        return folder
    checkpoints = folder / "checkpoints"
    if (checkpoints / "best" / "state.json").exists():
        return checkpoints / "best"
    newest = sorted(found.parent for found in checkpoints.glob("update-*/state.json"))
    if not newest:
        raise Refused(f"{where} is neither a checkpoint nor the directory of a run that has one")
    return newest[-1]


def load_policy(checkpoint: str | os.PathLike[str]) -> "Policy":
    """The policy of a checkpoint's folder, or of a run's directory: of its best checkpoint, or the newest while none
    was evaluated. Refused where there is none, or where a file is damaged."""
    folder = find_checkpoint(checkpoint)
    try:
        checksums = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
        for name in ("state.json", "updater.safetensors"):
            if name not in checksums["files"]:
                raise Refused(f"{folder} is damaged: checksums.json has no {name}")
        for name, expected in checksums["files"].items():
            data = (folder / name).read_bytes()
            if (len(data), zlib.crc32(data)) != (expected["bytes"], expected["crc32"]):
                raise Refused(f"{folder / name} is damaged: its checksum is not that of checksums.json")
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["format"] != 1:
            raise Refused(f"{folder} has format {state['format']}; this package reads 1")
        return Policy(tensor_file.load(folder / "updater.safetensors"), parse_config(state["config"]))
    except OSError as error:
        raise Refused(f"{folder} cannot be read: {error}") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # what files of another form lead to
        raise Refused(f"{folder} is no checkpoint that this package reads: {type(error).__name__}: {error}") from error


def mish(x: Array) -> Array:
    activated: Array = x * numpy.tanh(numpy.logaddexp(0, x))
    return activated


def layer_norm(x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    normed: Array = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return normed


def _rows(what: str, numbers: ArrayLike, size: int) -> Array:
    """Finite float32 numbers [..., size]; Refused if they are none, as a robot would be given an action of NaN."""
    try:
        with numpy.errstate(over="ignore"):
            x = numpy.asarray(numbers, numpy.float32)
    except (TypeError, ValueError) as error:
        raise Refused(f"{what} is no array of numbers: {error}") from None
    if x.shape[-1:] != (size,):
        raise Refused(f"{what} has shape {x.shape}; the policy's have {size} numbers")
    if not numpy.isfinite(x).all():
        raise Refused(f"{what} has a number that is NaN or infinite")
    return x


class Policy:
    """Encoder and policy of a checkpoint. Thread-safe: nothing changes."""

    def __init__(self, arrays: dict[str, Array], config: dict[str, str]):
        """`arrays` by the names of docs/checkpoints.md; `config` as parse_config returns it."""
        self._layers = {name: self._network(arrays, name) for name in ("encoder", "policy")}
        self._simnorm = int(config["model.simnorm_dim"])
        self._low, self._high = float(config["model.log_std_min"]), float(config["model.log_std_max"])
        self.squashed = config["model.policy_form"] == "TANH_GAUSSIAN"
        self.config = config
        self.observation_size = int(self._layers["encoder"][0]["weight"].shape[0])
        self.action_size = int(self._layers["policy"][-1]["weight"].shape[1]) // 2

    @staticmethod
    def _network(arrays: dict[str, Array], name: str) -> list[dict[str, Array]]:
        layers: list[dict[str, Array]] = []
        while f"{name}.{len(layers)}.weight" in arrays:
            prefix = f"{name}.{len(layers)}."
            layers.append({key[len(prefix):]: value for key, value in arrays.items() if key.startswith(prefix)})
        if not layers:
            raise Refused(f"the checkpoint has no network {name}")
        return layers

    def _run(self, name: str, x: Array) -> Array:
        layers = self._layers[name]
        for i, layer in enumerate(layers):
            x = x @ layer["weight"] + layer["bias"]
            if "norm.weight" not in layer:
                continue
            x = layer_norm(x) * layer["norm.weight"] + layer["norm.bias"]
            if i + 1 < len(layers):
                x = mish(x)
            else:
                groups = x.reshape(*x.shape[:-1], x.shape[-1] // self._simnorm, self._simnorm)
                powers = numpy.exp(groups - groups.max(-1, keepdims=True))
                x = (powers / powers.sum(-1, keepdims=True)).reshape(x.shape)
        return x

    def encode(self, observation: ArrayLike) -> Array:
        """The latent state of an observation [..., O]: [..., L]. Refused where a number is not finite."""
        return self._run("encoder", _rows("an observation", observation, self.observation_size))

    def gaussian(self, latent: ArrayLike) -> tuple[Array, Array]:
        """(mean, standard deviation) at a latent state [..., L], each [..., A]: of the action before clipping, or, with
        a squashed policy (TANH_GAUSSIAN), of what tanh is taken of."""
        given = _rows("a latent state", latent, int(self._layers["policy"][0]["weight"].shape[0]))
        mean, raw = numpy.split(self._run("policy", given), 2, axis=-1)
        std = numpy.exp(self._low + 0.5 * (self._high - self._low) * (numpy.tanh(raw) + 1))
        return mean if self.squashed else numpy.tanh(mean), std

    def act(self, observation: ArrayLike, noise: ArrayLike | None = None) -> Array:
        """The action at an observation [..., O], in [-1, 1]: [..., A]. `noise`: standard normal numbers [..., A] that
        explore; None acts by the mean."""
        mean, std = self.gaussian(self.encode(observation))
        if noise is None:
            drawn = mean
        else:
            drawn = mean + std * _rows("noise", noise, self.action_size)
            if drawn.shape != mean.shape:
                raise Refused(f"noise has shape {numpy.shape(noise)} for actions of shape {mean.shape}")
        return numpy.tanh(drawn) if self.squashed else numpy.clip(drawn, -1, 1)
