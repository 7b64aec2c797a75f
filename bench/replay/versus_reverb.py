#!/usr/bin/env python3
"""A replay shard under load, beside dm-reverb under the same load, in one run, as Markdown.

  bench/replay/versus_reverb.py --install-reverb /tmp/reverb     # makes a virtual environment with dm-reverb, once
  bench/replay/versus_reverb.py --reverb /tmp/reverb             # everything; the flags choose less of it

A shard (`pompc-replay`), or Reverb's server, is one process. Its clients are processes of their own: as many with writers
as there are cores, if there are so many writers, and one that samples. They talk over loopback through each one's own
clients: TrajectoryWriter and ShardClient here, StructuredWriter and TrajectoryDataset there. A row is an observation, an
action, a reward and a flag that it ended its episode. A window is --horizon rows and the observation behind them, and one
begins at each row. Rows of pompc also carry the plan that was made for them, which counts neither for bytes here nor for
Reverb.

`insert`: rows alone. `sample`: windows alone, in batches. `mixed`: both, held to --windows-per-row windows for each row, by
the learner's grants here and by Reverb's SampleToInsertRatio there. Latencies are those of an acknowledged row, appended
alone beside the writers (`insert`), and of the learner's next batch (otherwise). CPU is that of the server and of all
clients; ratios are of rates divided by it, since the rates themselves depend on what else the machine does. Reverb's
clients are Python where pompc's are C++, so the ratio by the server's CPU alone stands beside it.
"""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "scripts")]
from integers import integer  # pylint: disable=wrong-import-position
from processes import free_ports  # pylint: disable=wrong-import-position

REVERB = "dm-reverb[tensorflow]==0.14.0"
# Payload floats of a row -> numbers in its observation and action; the reward is one more. They are about those of a
# pendulum, a quadruped and a humanoid with its muscles' lengths.
PAYLOADS = {5: (3, 1), 67: (54, 12), 223: (201, 21)}
LEVELS = ("MEMORY", "BACKGROUND", "SYNC")
MODES = ("insert", "sample", "mixed")
START_SECONDS = 120
WARM_UP_SECONDS = 2


class Client:
    """A process that speaks the lines of load.cc."""

    def __init__(self, command, settings):
        self.popen = subprocess.Popen([*map(str, command), json.dumps(settings)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def tell(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def answer(self):
        """The next line of its output that is an object; libraries print lines of their own."""
        for line in self.popen.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)
        raise RuntimeError(f"{self.popen.args[:3]} ended with {self.popen.wait()}")

    def kill(self):
        self.popen.kill()
        self.popen.wait()


class Pompc:
    """A shard of the build in `binaries`, with one durability level."""

    def __init__(self, flags, level):
        self.name, self.level, self._flags = f"pompc {level}", level, flags
        self._binaries = flags.build / "bin"
        self._load = flags.build / "bench" / "replay" / "replay_load"

    def server(self, settings, folder):
        words = [self._binaries / "pompc-replay", "--listen", f"127.0.0.1:{settings['port']}", "--metrics-listen",
                 f"127.0.0.1:{free_ports(1)[0]}"]
        if self.level != "MEMORY":
            words += ["--data-dir", folder / "shard", "--durability", self.level]
            if self._flags.on_disk:
                words += ["--on-disk", "--row-cache-bytes", self._flags.row_cache_bytes]
        with open(folder / "server.log", "wb") as log:
            server = subprocess.Popen(list(map(str, words)), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        await_listener(settings["port"], server)
        return server

    def client(self, role, settings):
        return Client([self._load, role], settings)


class Reverb:
    """dm-reverb of a virtual environment."""
    name, level = "Reverb", "MEMORY"

    def __init__(self, folder):
        self._command = [folder / "bin" / "python", ROOT / "bench" / "replay" / "reverb_peer.py"]

    def server(self, settings, folder):
        client = Client([*self._command, "server"], settings)
        client.answer()
        return client.popen

    def client(self, role, settings):
        return Client([*self._command, role], settings)


def await_listener(port, server):
    """Returns once the server takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    server.kill()
    raise RuntimeError(f"{server.args[0]} does not serve")


def cpu_seconds(pid):
    """CPU time of all threads of a process so far, those that ended included: its CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def shares(count, processes):
    return [count // processes + (i < count % processes) for i in range(processes)]


class Measurement:
    """One server and its clients, from their start to their end."""

    def __init__(self, system, mode, settings, flags):
        self._system, self._mode, self._settings, self._flags = system, mode, settings, flags
        self._stack = contextlib.ExitStack()

    def run(self):
        with self._stack:
            folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=self._flags.data_folder)))
            server = self._system.server(self._settings, folder)
            self._stack.callback(server.wait)
            self._stack.callback(server.kill)
            learner = self._client("learner", self._settings) if self._learner_opens() else None
            writers = self._writers()
            counts = shares(self._settings["fill_rows"], len(writers))
            for writer, count in zip(writers, counts):
                writer.tell(f"fill {count}")
            for writer in writers:
                writer.answer()
            active = [] if self._mode == "sample" else writers
            if self._mode != "insert":
                active = active + [learner or self._client("learner", self._settings)]
            return self._measure(server, active)

    def _learner_opens(self):
        """Shards take rows once a learner has configured them; Reverb's signature comes from the server."""
        return isinstance(self._system, Pompc)

    def _client(self, role, settings):
        client = self._system.client(role, settings)
        self._stack.callback(client.kill)
        client.answer()
        return client

    def _writers(self):
        count = self._settings["writers"]
        clients, first = [], 0
        for number, share in enumerate(shares(count, min(count, self._flags.processes))):
            settings = self._settings | {"writers": share, "first_actor": first, "seed": number + 1,
                                         "probe": number == 0 and self._mode == "insert"}
            # An actor index more for the writer that probes.
            first += share + 1
            clients.append(self._client("writer", settings))
        return clients

    def _measure(self, server, clients):
        for client in clients:
            client.tell("run")
        time.sleep(WARM_UP_SECONDS)
        before = cpu_seconds(server.pid)
        for client in clients:
            client.tell("begin")
        for client in clients:
            client.answer()
        time.sleep(self._flags.seconds)
        server_s = cpu_seconds(server.pid) - before
        for client in clients:
            client.tell("end")
        answers = [client.answer() for client in clients]
        seconds = statistics.mean(answer["seconds"] for answer in answers)
        # The writers' probe where rows alone are appended; the learner's batches otherwise.
        latencies = answers[0 if self._mode == "insert" else -1]["latencies_s"]
        return {"rows_s": sum(answer.get("rows", 0) for answer in answers) / seconds,
                "windows_s": sum(answer.get("windows", 0) for answer in answers) / seconds,
                "server_cpu": server_s / seconds,
                "client_cpu": sum(answer["cpu_s"] for answer in answers) / seconds,
                "p50_ms": 1e3 * percentile(latencies, 0.5), "p99_ms": 1e3 * percentile(latencies, 0.99)}


def settings_of(mode, payload, writers, flags):
    observation, action = PAYLOADS[payload]
    return {"port": free_ports(1)[0], "observation_size": observation, "action_size": action, "horizon": flags.horizon,
            "capacity_rows": flags.capacity_rows, "writers": writers, "environments": 1, "first_actor": 0, "seed": 1,
            "probe": False, "batch": flags.batch, "batches_in_flight": flags.batches_in_flight,
            "windows_per_row": flags.windows_per_row if mode == "mixed" else 0,
            # What is only inserted replaces older rows from the beginning on; what is sampled stays as it is.
            "fill_rows": flags.fill_rows, "slack_rows": flags.slack_rows, "flush_every": flags.reverb_flush_every,
            "items_in_flight": flags.reverb_items_in_flight, "sample_workers": flags.reverb_workers or -1}


def median_of(turns):
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def unit_of(mode):
    return "rows_s" if mode == "insert" else "windows_s"


def per_cpu(found, mode, of):
    used = found["server_cpu"] + (found["client_cpu"] if of == "all" else 0)
    return found[unit_of(mode)] / used if used else float("nan")


def payload_megabytes(found, payload, horizon):
    """MB of payload a second, in rows and in windows."""
    observation, action = PAYLOADS[payload]
    window = (horizon + 1) * observation + horizon * (action + 1)
    return 4e-6 * (found["rows_s"] * payload + found["windows_s"] * window)


COLUMNS = ("load", "floats", "writers", "server", "rows/s", "windows/s", "MB/s", "p50 ms", "p99 ms", "CPU server",
           "CPU clients", "per CPU s", "times Reverb", "per server CPU s", "times Reverb")


def line_of(case, system, found, reverb, flags):
    mode, payload, writers = case
    cells = [mode, payload, writers, system.name, f"{found['rows_s']:,.0f}", f"{found['windows_s']:,.0f}",
             f"{payload_megabytes(found, payload, flags.horizon):.1f}", f"{found['p50_ms']:.2f}",
             f"{found['p99_ms']:.2f}", f"{found['server_cpu']:.2f}", f"{found['client_cpu']:.2f}"]
    for of in ("all", "server"):
        own = per_cpu(found, mode, of)
        cells += [f"{own:,.0f}", f"{own / per_cpu(reverb, mode, of):.1f}" if reverb and system.name != "Reverb" else ""]
    return "| " + " | ".join(map(str, cells)) + " |"


def measure_case(case, systems, flags):
    mode, payload, writers = case
    turns = {system.name: [] for system in systems}
    # One after the other, so that a change of what else the machine does meets all of them.
    for _, system in itertools.product(range(flags.turns), systems):
        settings = settings_of(mode, payload, writers, flags)
        turns[system.name].append(Measurement(system, mode, settings, flags).run())
    return {name: median_of(found) for name, found in turns.items()}


def print_levels(results):
    """How much of what a shard inserts in memory it inserts with each level of durability."""
    for case, found in results.items():
        memory = found.get("pompc MEMORY")
        for level in ("BACKGROUND", "SYNC"):
            durable = found.get(f"pompc {level}")
            if case[0] != "insert" or not memory or not durable:
                continue
            print(f"{level}, {case[1]} floats, {case[2]} writers: {durable['rows_s'] / memory['rows_s']:.0%} of the rows a "
                  f"second of MEMORY, {per_cpu(durable, 'insert', 'all') / per_cpu(memory, 'insert', 'all'):.0%} by CPU")


def install_reverb(folder):
    python = shutil.which("python3.11") or sys.executable
    subprocess.run([python, "-m", "venv", folder], check=True)
    subprocess.run([os.path.join(folder, "bin", "pip"), "install", "--quiet", REVERB], check=True)


def find_reverb(folder):
    if folder is None:
        print("Reverb is left out: no --reverb", file=sys.stderr)
        return []
    found = subprocess.run([folder / "bin" / "python", "-c", "import reverb"], capture_output=True, check=False)
    if found.returncode == 0:
        return [Reverb(folder)]
    print(f"Reverb is left out: {folder} does not have it (--install-reverb)", file=sys.stderr)
    return []


def cases(flags):
    for mode, payload in itertools.product(flags.modes, flags.payloads):
        # Nobody writes while windows alone are sampled.
        for writers in flags.writers if mode != "sample" else flags.writers[:1]:
            yield mode, payload, writers


def read_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install-reverb", metavar="DIR", help="make a virtual environment with dm-reverb, nothing else")
    parser.add_argument("--reverb", metavar="DIR", type=pathlib.Path, help="a virtual environment with dm-reverb")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--data-folder", help="where durable shards keep their data; default: the system's for temporary "
                        "files, which may be memory")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--on-disk", action="store_true", help="serve rows from disk at the levels that have one")
    parser.add_argument("--row-cache-bytes", type=integer(1), default=256 << 20, help="memory for rows from disk")
    parser.add_argument("--payloads", nargs="+", type=integer(), choices=sorted(PAYLOADS), default=sorted(PAYLOADS))
    parser.add_argument("--writers", nargs="+", type=integer(1, 512), default=(1, 8, 64))
    parser.add_argument("--processes", type=integer(1, 64), default=len(os.sched_getaffinity(0)),
                        help="most processes that the writers are divided among")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--turns", type=integer(1, 100), default=3, help="of each measurement; the table has medians")
    parser.add_argument("--horizon", type=integer(1, 100), default=3)
    parser.add_argument("--capacity-rows", type=integer(1000), default=50000)
    parser.add_argument("--fill-rows", type=integer(1000), default=20000, help="rows stored before it begins")
    parser.add_argument("--batch", type=integer(1, 65536), default=256)
    parser.add_argument("--batches-in-flight", type=integer(1, 64), default=4)
    parser.add_argument("--windows-per-row", type=float, default=4, help="of mixed")
    parser.add_argument("--slack-rows", type=integer(1000), default=4000, help="of mixed: how far either side may be ahead")
    parser.add_argument("--reverb-flush-every", type=integer(1), default=64, help="rows of a writer")
    parser.add_argument("--reverb-items-in-flight", type=integer(1), default=256)
    parser.add_argument("--reverb-workers", type=integer(0, 64), default=0, help="of its sampler; 0: its own choice")
    return parser.parse_args()


def main():
    flags = read_flags()
    if flags.install_reverb:
        return install_reverb(flags.install_reverb)
    systems = [Pompc(flags, level) for level in flags.levels] + find_reverb(flags.reverb)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    results = {}
    for case in cases(flags):
        # Sampling rows in memory does not touch what makes them durable.
        chosen = [system for system in systems if case[0] != "sample" or system.level == "MEMORY" or flags.on_disk]
        results[case] = measure_case(case, chosen, flags)
        for system in chosen:
            print(line_of(case, system, results[case][system.name], results[case].get("Reverb"), flags), flush=True)
    print()
    print_levels(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
