"""Compares what pompc computes with the PyTorch peer, number by number, on one checkpoint and one batch.

  python3 bench/peers/compare.py --pompc build/release/bin/pompc --checkpoint runs/a [--seed 1] [--device cpu]

Needs PyTorch and NumPy (Debian: python3-torch, python3-numpy). Exits with 0 if everything agrees, 1 otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy
import torch

import po_mpc
from random_batch import random_batch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import tensor_file  # pylint: disable=wrong-import-position
from integers import integer  # pylint: disable=wrong-import-position

# Two float32 computations of the same formula in another order of sums: |a - b| <= ABSOLUTE + RELATIVE * |b|, where |b|
# is the largest number of the array (a small number next to large ones carries their rounding).
RELATIVE = 1e-4
ABSOLUTE = 1e-6
# These are means of bin centres, which reach from -10 to 10: near 0 they carry the rounding of the centres, a few units
# in the last place (4 * 10 * 2^-24).
DECODED = ("values", "value_targets", "regularized_values", "regularized_value_targets", "sequence_values",
           "predicted_rewards")
DECODED_ABSOLUTE = 2.4e-6


def run(pompc, *arguments):
    done = subprocess.run([pompc, *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        sys.exit(done.stderr.strip())


def numbers_of_pompc(pompc, checkpoint, batch, folder):
    batch_file, out = os.path.join(folder, "batch.safetensors"), os.path.join(folder, "numbers.safetensors")
    tensor_file.save(batch_file, batch)
    run(pompc, "model", "probe", "--checkpoint", checkpoint, "--like", batch_file, "--out", out)
    return tensor_file.load(out)


def numbers_of_peer(arrays, config, batch, device):
    peer = po_mpc.PoMpc(arrays, po_mpc.Settings.from_config(config), device)
    peer.value_scale = torch.tensor(batch["value_scale"], device=device)
    peer.kl_scale = torch.tensor(batch["kl_scale"], device=device)
    tensors = {name: torch.from_numpy(numpy.asarray(array)).to(device) for name, array in batch.items()}
    return {name: value.cpu().numpy() for name, value in peer.probe(tensors).items()}


def differences(ours, theirs):
    """Name -> what is wrong; empty where both agree."""
    problems = {name: "only one of the two has it" for name in ours.keys() ^ theirs.keys()}
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if a.shape != b.shape:
            problems[name] = f"shapes {a.shape} and {b.shape}"
            continue
        error = float(numpy.abs(a.astype(float) - b).max(initial=0))
        absolute = ABSOLUTE + (DECODED_ABSOLUTE if name in DECODED else 0)
        allowed = absolute + RELATIVE * float(numpy.abs(b).max(initial=0))
        if not error <= allowed:
            problems[name] = f"differs by {error:.3g}, allowed are {allowed:.3g}"
    return problems


def compare(pompc, checkpoint, seed=1, device="cpu"):
    """(numbers of pompc, numbers of the peer, what differs)."""
    with tempfile.TemporaryDirectory() as folder:
        exported = os.path.join(folder, "weights.safetensors")
        run(pompc, "checkpoint", "export", checkpoint, "--out", exported)
        arrays = tensor_file.load(exported)
        with open(os.path.join(checkpoint, "state.json"), encoding="utf-8") as file:
            config = json.load(file)["config"]
        batch = random_batch(arrays, config, seed)
        ours = numbers_of_pompc(pompc, checkpoint, batch, folder)
    theirs = numbers_of_peer(arrays, config, batch, device)
    return ours, theirs, differences(ours, theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pompc", default="build/release/bin/pompc", help="the program to compare with")
    parser.add_argument("--checkpoint", required=True, help="folder of one checkpoint")
    parser.add_argument("--seed", type=integer(), default=1, help="of the batch")
    parser.add_argument("--device", default="cpu", help="of the peer: cpu, cuda")
    flags = parser.parse_args()
    ours, theirs, problems = compare(flags.pompc, flags.checkpoint, flags.seed, flags.device)
    for name in sorted(ours):
        if name in theirs and ours[name].shape == theirs[name].shape:
            scale = max(float(numpy.abs(theirs[name]).max(initial=0)), 1e-30)
            error = float(numpy.abs(ours[name].astype(float) - theirs[name]).max(initial=0))
            print(f"{name:44} {str(ours[name].shape):16} largest {scale:10.4g}  differs by {error:9.2g}")
    for name, problem in sorted(problems.items()):
        print(f"DISAGREE {name}: {problem}", file=sys.stderr)
    print(f"{len(ours) - len(problems)} of {len(ours)} arrays agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
