#!/usr/bin/env python3
"""Makes a checkpoint of pompc out of one of the public TD-MPC2 program (a .pt file, state observations, one task).

  scripts/import-tdmpc2.py walker-walk-1.pt --task walker-walk --out imported
  scripts/import-tdmpc2.py model.pt --task external --episode-decisions 500 --action-repeat 2 --out imported
  build/release/bin/pompc evaluate --checkpoint imported --episodes 10

Both layouts of its Q ensemble are read: one tensor with a number for each parameter (`_Qs.params.0`), as most published
files have it, and one with a name (`_Qs.params.0.weight`), which came with torch.compile and stays in the program of
July 2026. The networks' sizes are those of the file. The config is the preset tdmpc2 with them, and --set changes
others: what is in no file, such as simnorm_dim, is the program's default. Optimisers and running scales are not in such
a file either, so that training on from it begins with those of a new run.

Needs PyTorch to read the file, NumPy, and pompc. Exit status: 0, 2 for a file or flags that cannot be used.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import zlib

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import tensor_file
from integers import integer

# Names of a layer's parameters in the file (in the order of their numbers, where they have numbers), and here.
PARTS = {"weight": "weight", "bias": "bias", "ln.weight": "norm.weight", "ln.bias": "norm.bias"}
NETWORKS = {"_encoder.state": "encoder", "_dynamics": "dynamics", "_reward": "reward", "_termination": "termination",
            "_pi": "policy"}
ENSEMBLES = {"q": ("_Qs.params.",), "q_target": ("_target_Qs_params.", "_target_Qs.params.")}
MODEL = ("encoder", "dynamics", "reward", "termination", "q")
PATIENCE_SECONDS = 120  # with pompc, which takes a second


class Unusable(Exception):
    """The file cannot be imported."""


def read_state(path):
    """Name -> NumPy array, or None for what is no tensor, or one without numbers."""
    try:
        import torch
    except ImportError as error:
        raise Unusable(f"{error}: PyTorch reads the file (Debian: python3-torch; or pip install torch)") from None
    try:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except TypeError:  # before PyTorch 1.13
            state = torch.load(path, map_location="cpu")
    except Exception as error:
        raise Unusable(f"{path} cannot be read: {' '.join(str(error).split())[:300] or type(error).__name__}") from error
    state = state.get("model", state) if isinstance(state, dict) else {}
    if not isinstance(state, dict):
        raise Unusable(f"{path} holds no tensors by their names")
    # NumPy does not have all types of PyTorch, such as bfloat16; checkpoints are float32 in any case. What has no
    # numbers (tensors of the device "meta") are shells of the program's modules.
    return {str(name): value.detach().float().numpy() if isinstance(value, torch.Tensor) and not value.is_meta else None
            for name, value in state.items()}


def pompc(flags, *arguments):
    """What the program said, and its exit status."""
    try:
        return subprocess.run([flags.pompc, *arguments], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unusable(f"{flags.pompc} {arguments[0]} did not end within {PATIENCE_SECONDS} s") from None


def layers_of(state, prefix, ensemble):
    """The layers of a network as {part: array}, weights as [..., in, out]."""
    found = {}
    for name, array in state.items():
        if not name.startswith(prefix) or array is None:
            continue
        layer, _, part = name[len(prefix):].partition(".")
        if ensemble and not part and layer.isdigit():  # numbered: four parameters for each hidden layer
            layer, part = str(int(layer) // 4), list(PARTS)[int(layer) % 4]
        if not layer.isdigit() or part not in PARTS:
            raise Unusable(f"{name} is no parameter of a layer that is known")
        found.setdefault(int(layer), {})[PARTS[part]] = array
    if sorted(found) != list(range(len(found))):
        raise Unusable(f"the layers of {prefix} are {sorted(found)}")
    dims = 3 if ensemble else 2
    for layer in found.values():
        if "weight" not in layer or layer["weight"].ndim != dims or "bias" not in layer:
            raise Unusable(f"a layer of {prefix} has no weight of {dims} dimensions, or no bias")
        layer["weight"] = numpy.swapaxes(layer["weight"], -1, -2)
    return [found[i] for i in range(len(found))]


def networks_of(state):
    """Network -> layers, in the order in which checkpoints have them."""
    if any(name.startswith("_task_emb") for name in state):
        raise Unusable("it is of several tasks (it has _task_emb); those of one task can be imported")
    if not any(name.startswith("_encoder.state.") for name in state):
        raise Unusable("it has no encoder of state observations (_encoder.state)")
    networks = {name: layers_of(state, f"{prefix}.", False) for prefix, name in NETWORKS.items()}
    networks = {name: layers for name, layers in networks.items() if layers}
    for name, prefixes in ENSEMBLES.items():
        networks[name] = next((layers for prefix in prefixes if (layers := layers_of(state, prefix, True))), [])
    missing = [name for name in ("dynamics", "reward", "policy", "q", "q_target") if not networks.get(name)]
    if missing:
        raise Unusable(f"it has no {', '.join(missing)}")
    return {name: networks[name] for name in (*MODEL, "policy", "q_target") if name in networks}


def settings_of(networks, state):
    """The fields of the config that follow from the file."""
    encoder, reward, policy, q = (networks[name] for name in ("encoder", "reward", "policy", "q"))
    settings = {"model.encoder_dim": encoder[0]["weight"].shape[1], "model.encoder_layers": len(encoder),
                "model.latent_dim": encoder[-1]["weight"].shape[1], "model.mlp_dim": reward[0]["weight"].shape[1],
                "model.num_bins": reward[-1]["weight"].shape[1], "model.num_q": q[0]["weight"].shape[0]}
    if state.get("log_std_min") is not None and state.get("log_std_dif") is not None:
        low = float(state["log_std_min"])
        settings |= {"model.log_std_min": low, "model.log_std_max": low + float(state["log_std_dif"])}
    return settings, encoder[0]["weight"].shape[0], policy[-1]["weight"].shape[1] // 2


def make_config(flags, networks, state):
    """The config as text; Unusable where the task has other sizes than the file."""
    settings, observation_size, action_size = settings_of(networks, state)
    settings["env.task"] = flags.task
    if flags.action_repeat:
        settings["env.action_repeat"] = flags.action_repeat
    terminates = "termination" in networks
    if flags.task == "external":
        if not flags.episode_decisions:
            raise Unusable("--task external needs --episode-decisions, from which the discount follows")
        settings |= {"env.spec.observation_size": observation_size, "env.spec.action_size": action_size,
                     "env.spec.episode_decisions": flags.episode_decisions,
                     "env.spec.terminates": str(terminates).lower()}
    elif flags.episode_decisions:
        raise Unusable(f"--episode-decisions is for --task external; the task {flags.task} has its own")
    given = [f"{name}={value}" for name, value in settings.items()] + flags.set
    done = pompc(flags, "config", "--preset", "tdmpc2", *[word for one in given for word in ("--set", one)])
    if done.returncode != 0:
        raise Unusable(done.stderr.strip())
    for name, value in (("observation_size", observation_size), ("action_size", action_size),
                        ("terminates", str(terminates).lower())):
        if f"    {name}: {value}\n" not in done.stdout:
            raise Unusable(f"the file's {name} is {value}; that of the task {flags.task} is another one")
    return done.stdout


def arrays_of(networks):
    """All tensors of a checkpoint but for the counters."""
    arrays = {f"{name}.{i}.{part}": numpy.ascontiguousarray(layer[part], numpy.float32)
              for name, layers in networks.items() for i, layer in enumerate(layers)
              for part in PARTS.values() if part in layer}
    for optimiser, those in (("model", MODEL), ("policy", ("policy",))):
        size = sum(array.size for name, array in arrays.items() if name.split(".")[0] in those)
        for moment in ("m", "v"):
            arrays[f"adam.{optimiser}.{moment}"] = numpy.zeros(size, numpy.float32)
    arrays["scale.value"] = arrays["scale.kl"] = numpy.float32(1)
    return arrays


def write_checkpoint(folder, arrays, config, updates):
    """A checkpoint's folder, as docs/run-directory.md has it."""
    folder.mkdir(parents=True)
    counters = {"updater.adam_steps.model": 0, "updater.adam_steps.policy": 0, "updater.format": 1,
                "updater.prior_trained": 0, "updater.seed": 1, "updater.update_count": updates}
    tensor_file.save(folder / "updater.safetensors", arrays, {name: str(value) for name, value in counters.items()})
    now = datetime.datetime.now(datetime.timezone.utc)
    state = {"config": config, "elapsed_seconds": 0.0, "episodes": 0, "format": 1, "learner_incarnation": 1,
             "rows": {"past_rows": 0, "shard_incarnations": []}, "run_id": f"{now:%Y%m%d-%H%M%S}-imported",
             "seed_phase_closed": False, "updates": updates, "written_at": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
    (folder / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    files = {}
    for name in ("state.json", "updater.safetensors"):
        data = (folder / name).read_bytes()
        files[name] = {"bytes": len(data), "crc32": zlib.crc32(data)}
    (folder / "checksums.json").write_text(json.dumps({"files": files, "format": 1}, indent=2) + "\n", encoding="utf-8")


def run(flags):
    if flags.out.exists():
        raise Unusable(f"--out {flags.out} exists already")
    state = read_state(flags.file)
    try:
        networks = networks_of(state)
    except Unusable as error:
        raise Unusable(f"{flags.file}: {error}") from None
    config = make_config(flags, networks, state)
    # What pompc refuses is no checkpoint, and is not left behind.
    unfinished = flags.out.with_name(f"{flags.out.name}.importing-{os.getpid()}")
    try:
        write_checkpoint(unfinished, arrays_of(networks), config, flags.updates)
        done = pompc(flags, "checkpoint", "inspect", unfinished)
        if done.returncode != 0:
            raise Unusable(f"pompc does not take what is in {flags.file}: "
                           f"{done.stderr.strip().replace(str(unfinished), str(flags.out))}")
        unfinished.rename(flags.out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    count = sum(layer[part].size for name, layers in networks.items() if name != "q_target"
                for layer in layers for part in layer)
    print(f"{flags.out}: {', '.join(networks)}; {count:,} parameters")


def main(arguments=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="the .pt file")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the checkpoint's folder, which must not exist")
    parser.add_argument("--task", required=True, help="a task of `pompc tasks`, or external")
    parser.add_argument("--action-repeat", type=integer(1), help="control steps of a decision (default: pompc's, 2)")
    parser.add_argument("--episode-decisions", type=integer(1), help="with --task external")
    parser.add_argument("--updates", type=integer(), default=0, help="that made it, for the name and the status")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the config")
    parser.add_argument("--pompc", default=os.environ.get("POMPC", str(ROOT / "build" / "release" / "bin" / "pompc")))
    flags = parser.parse_args(arguments)
    try:
        run(flags)
    except (Unusable, OSError) as error:
        print(f"import-tdmpc2.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
