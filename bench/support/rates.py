"""What the scripts that compare rates share: running a benchmark of pompc, and telling what several turns gave."""

import json
import statistics
import subprocess

SECONDS_OF_UNIT = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}


def start(binary, pattern, seconds, before=None, arguments=()):
    """A Google Benchmark's cases that match, each measured for `seconds`; `before` runs in its process first."""
    return subprocess.Popen([binary, *arguments, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
                             "--benchmark_format=json"], stdout=subprocess.PIPE, text=True, preexec_fn=before)


def results(process):
    """Case -> what it measured, and the context; of a benchmark started above."""
    out, _ = process.communicate()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    document = json.loads(out)
    failed = {case["name"]: case["error_message"] for case in document["benchmarks"] if case.get("error_occurred")}
    if failed:
        raise RuntimeError(f"{process.args[0]}: {failed}")
    return {case["name"]: case for case in document["benchmarks"]}, document["context"]


def seconds_of(case, time):
    """One iteration's `real_time` or `cpu_time`."""
    return case[time] * SECONDS_OF_UNIT[case["time_unit"]]


def summary(values, digits=1):
    """Median (least, most)."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}, {max(values):,.{digits}f})"
