#!/usr/bin/env python3
"""Compares candidates for the defaults of PO-MPC on four tasks, by successive halving.

  nohup bench/learning/sweep_defaults.py --out docs/results/defaults --runs runs/defaults --jobs 8 &
  bench/learning/sweep_defaults.py --out docs/results/defaults --report

Every setting of defaults.txt is trained with two seeds on each task; then the better half with a third seed, and the
better half of these with a fourth and a fifth. What ranks a setting is the mean return over all evaluations and tasks.
Each run takes one core, as `schedule=LOCKSTEP` acts, learns and evaluates in turn, and its numbers do not depend on how
busy the machine is; all run at the lowest priority. A run that ends adds its lines to TASK.csv (one) and
TASK-curves.csv (one for each evaluation, with KL, standard deviations and scales) of the folder --out at once. The same
command resumes a sweep that was interrupted: it makes what is missing there. --report prints tables in Markdown, with
95 % confidence intervals over seeds (Student's t) of the differences to the first setting, seed by seed.
"""

import argparse
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import sweep  # pylint: disable=wrong-import-position
from integers import integer  # pylint: disable=wrong-import-position

TASKS = ("cheetah-run", "walker-run", "finger-turn-hard", "reacher-hard")
# The last seed of each round. The better half of its settings goes on.
ROUNDS = (2, 3, 5)


def results_of(out, task):
    return out / f"{task}.csv"


def scores(out, tasks, seeds):
    """Mean return over evaluations of each setting, by task and seed."""
    found = {}
    for task in tasks:
        for row in sweep.read_rows(results_of(out, task)):
            if int(row["seed"]) <= seeds:
                found.setdefault(row["setting"], {})[task, int(row["seed"])] = float(row["return_curve"])
    return found


def write_settings(path, settings, task):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}: {sweep.flags_text([*words, '--task', task])}\n"
                            for name, words in settings.items()))


def train(flags, settings, names, last_seed):
    """Makes what is missing of the seeds up to the last one, on all tasks."""
    for task in flags.tasks:
        path = flags.runs / task / "settings.txt"
        write_settings(path, settings, task)
        command = [sys.executable, ROOT / "scripts" / "sweep.py", path, "--seeds", f"1-{last_seed}", "--only", ",".join(names),
                   "--results", results_of(flags.out, task), "--curves", flags.out / f"{task}-curves.csv",
                   "--runs", flags.runs / task, "--pompc", flags.pompc, "--jobs", str(flags.jobs)]
        # A Ctrl-C reaches it as well: it ends its runs with checkpoints.
        status = subprocess.run(command, check=False).returncode
        if status != 0:
            sys.exit(status)


def halve(flags, settings, last_seed):
    """The best settings by the seeds up to `last_seed`; the first one, which others are compared with, stays."""
    found = scores(flags.out, flags.tasks, last_seed)
    first = next(iter(settings))
    ranked = sorted(settings, key=lambda name: -statistics.fmean(found[name].values()))
    kept = ranked[:math.ceil(len(settings) / 2)]
    return [name for name in settings if name in kept or name == first]


def interval(numbers):
    if len(numbers) < 2:
        return f"{numbers[0]:.0f}"
    t = sweep.T_975[len(numbers) - 2] if len(numbers) - 2 < len(sweep.T_975) else 1.96
    return f"{statistics.fmean(numbers):.0f} ± {t * statistics.stdev(numbers) / math.sqrt(len(numbers)):.0f}"


def report(flags, settings):
    """All tasks in one table; differences are those of the same task and seed, averaged over tasks first."""
    found = scores(flags.out, flags.tasks, ROUNDS[-1])
    base = found.get(next(iter(settings)), {})
    print("| setting | seeds | all tasks | to the first | " + " | ".join(flags.tasks) + " |")
    print("|---|---|---|---|" + "---|" * len(flags.tasks))
    for name in settings:
        own = found.get(name, {})
        seeds = [seed for seed in range(1, ROUNDS[-1] + 1) if all((task, seed) in own for task in flags.tasks)]
        if not seeds:
            continue
        overall = [statistics.fmean(own[task, seed] for task in flags.tasks) for seed in seeds]
        both = [seed for seed in seeds if all((task, seed) in base for task in flags.tasks)]
        gains = [statistics.fmean(own[task, seed] - base[task, seed] for task in flags.tasks) for seed in both]
        of_tasks = (interval([own[task, seed] for seed in seeds]) for task in flags.tasks)
        print(f"| {name} | {len(seeds)} | {interval(overall)} | {interval(gains) if gains else '–'} | "
              + " | ".join(of_tasks) + " |")
    for task in flags.tasks:
        print(f"\n{task}\n", flush=True)
        path = flags.runs / task / "settings.txt"
        write_settings(path, settings, task)
        subprocess.run([sys.executable, ROOT / "scripts" / "sweep.py", path, "--results", results_of(flags.out, task),
                        "--report"], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "results" / "defaults",
                        help="folder of the CSV files (default: docs/results/defaults)")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/defaults"),
                        help="folder of the run directories (default: runs/defaults)")
    parser.add_argument("--settings", type=pathlib.Path, default=pathlib.Path(__file__).with_name("defaults.txt"),
                        help="file of `name: flags` lines (default: defaults.txt beside this script)")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS),
                        help=f"separated by commas (default: {','.join(TASKS)})")
    parser.add_argument("--pompc", default=ROOT / "build/release/bin/pompc", help="the program")
    parser.add_argument("--jobs", type=integer(1, 1024), default=os.cpu_count(),
                        help="runs at a time (default: one for each core)")
    parser.add_argument("--report", action="store_true", help="print the tables instead")
    flags = parser.parse_args()
    settings = sweep.read_settings(flags.settings)
    if flags.report:
        report(flags, settings)
        return
    os.nice(19)
    names = list(settings)
    for last_seed in ROUNDS:
        print(f"{len(names)} settings, seeds 1-{last_seed}: {', '.join(names)}", flush=True)
        # Seed by seed, so that an interrupted round has told something about every setting and task.
        for seed in range(1, last_seed + 1):
            train(flags, settings, names, seed)
        names = halve(flags, {name: settings[name] for name in names}, last_seed)


if __name__ == "__main__":
    main()
