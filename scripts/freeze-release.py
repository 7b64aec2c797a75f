#!/usr/bin/env python3
"""Freezes what this version writes and says, for tests/compatibility/releases_test.py.

  scripts/freeze-release.py build/release/bin

makes tests/data/releases/VERSION: the descriptions of all messages, every preset's whole config, a small run directory
with checkpoints and rows, and a data set. To be run once for each release, and committed with it; what is there is
never changed (docs/compatibility.md).
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A run of half a minute: every table, file and kind of row is in it, and its networks are as small as can be.
RUN = """--preset quickstart --seed 7 --set schedule=LOCKSTEP --set model.encoder_dim=16 --set model.mlp_dim=16
  --set model.latent_dim=8 --set model.simnorm_dim=4 --set model.num_bins=21 --set model.matmul_dtype=FLOAT32
  --set learner.seed_rows=500 --set learner.pretrain_updates=20 --set learner.batch_size=16 --set learner.utd=0.1
  --set learner.checkpoint_every_updates=20 --set learner.log_every_updates=5 --set learner.keep_checkpoints=1
  --set learner.tensorboard=true --set replay.min_rows=300 --set evaluation.every_rows=400 --set evaluation.episodes=1
  --set stop.return_mean=0 --set stop.max_rows=700""".split()


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, **more)


def freeze(programs, out):
    pompc = programs / "pompc"
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto").glob("*.proto"))
    run("protoc", f"-I{ROOT}", "--include_imports", f"--descriptor_set_out={out / 'messages.binpb'}", *protos)
    (out / "configs").mkdir()
    for preset in sorted((ROOT / "presets").glob("*.textproto")):
        with open(out / "configs" / preset.name, "w", encoding="utf-8") as file:
            run(pompc, "config", "--preset", preset.stem, stdout=file)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "run"
        run(pompc, "train", *RUN, "--run-dir", folder)
        run(pompc, "replay", "export", folder, "--out", out / "rows.safetensors")
        with tarfile.open(out / "run.tar.gz", "w:gz") as archive:
            archive.add(folder, "run")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path, help="folder of this version's programs")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests" / "data" / "releases",
                        help="folder of all releases (default: tests/data/releases)")
    flags = parser.parse_args()
    told = run(flags.programs / "pompc", "--version", capture_output=True, text=True).stdout
    version = re.search(r"\d+\.\d+\.\d+", told)
    if not version:
        sys.exit(f"pompc --version says {told!r}, which holds no version")
    out = flags.out / version[0]
    if out.exists():
        sys.exit(f"{out} exists: a release is frozen once. Raise the version in CMakeLists.txt first.")
    out.mkdir(parents=True)
    freeze(flags.programs, out)
    print(f"{out}: {sum(file.stat().st_size for file in out.rglob('*') if file.is_file()) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
