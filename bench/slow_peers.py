#!/usr/bin/env python3
"""What far and hanging peers cost a run of separate processes on loopback ports.

  bench/slow_peers.py shards FOLDER_OF_BINARIES [--delay-ms 0 100]     the learner's way to its replay shards is delayed
  bench/slow_peers.py planner FOLDER_OF_BINARIES [--seconds 20]        one of two planners is stopped with SIGSTOP

`shards` trains quickstart once per delay: a proxy between the learner and both shards holds every byte back for that
time each way. It prints updates per second, and what the training thread spent its time on, from update 200 on.
`planner` prints rows per second, second by second, before, while and after one planner is stopped."""

import argparse
import asyncio
import contextlib
import pathlib
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "support"))
from processes import Process, free_ports

# How long a run may take to get where the measurement begins.
BEGIN_SECONDS = 600


class DelayingProxy:
    """Passes bytes between a port of loopback and another one, `delay` seconds late in each direction."""

    def __init__(self, upstream_port, delay):
        (self.port,) = free_ports(1)
        self._upstream_port, self._delay = upstream_port, delay
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", self.port))
        self._loop.run_forever()

    async def _connect(self, reader, writer):
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, upstream_writer), self._pass(upstream_reader, writer))

    async def _pass(self, reader, writer):
        # What is on its way, which the reader below keeps filling while the oldest of it waits.
        under_way = asyncio.Queue()

        async def read():
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 18):
                    under_way.put_nowait((time.monotonic() + self._delay, data))
            under_way.put_nowait((0, b""))

        reading = asyncio.ensure_future(read())
        with contextlib.suppress(OSError):
            while True:
                due, data = await under_way.get()
                if not data:
                    break
                await asyncio.sleep(max(0, due - time.monotonic()))
                writer.write(data)
                await writer.drain()
        reading.cancel()
        writer.close()


class Run:
    """quickstart as one learner, two shards, one actor, and as many planners as asked."""

    def __init__(self, binaries, settings, planners=1, delay=None):
        self._stack = contextlib.ExitStack()
        self._binaries = binaries
        self._folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        shards = free_ports(2)
        learner, *planner_ports = free_ports(1 + planners)
        for i, port in enumerate(shards):
            self._start(f"replay-{i}", "--listen", f"127.0.0.1:{port}")
        self.planners = [self._start(f"planner-{i}", "--listen", f"127.0.0.1:{port}", "--learner", f"127.0.0.1:{learner}")
                         for i, port in enumerate(planner_ports)]
        seen = shards if delay is None else [DelayingProxy(port, delay).port for port in shards]
        words = [word for setting in settings for word in ("--set", setting)]
        self.learner = self._start("learner", "--listen", f"127.0.0.1:{learner}", "--replay", self._list(seen),
                                   "--run-dir", str(self._folder / "run"), "--preset", "quickstart", *words)
        self.actor = self._start("actor", "--learner", f"127.0.0.1:{learner}", "--replay", self._list(shards),
                                 "--planners", self._list(planner_ports))

    @staticmethod
    def _list(ports):
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    def _start(self, name, *arguments):
        process = Process(name, self._folder, self._binaries / f"pompc-{name.split('-')[0]}", *arguments)
        self._stack.callback(process.kill)
        return process

    def wait_until(self, what, condition):
        deadline = time.monotonic() + BEGIN_SECONDS
        while not condition():
            if time.monotonic() > deadline or self.learner.popen.poll() is not None:
                sys.exit(f"not reached: {what}\n{self.learner.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # A stopped process is killed as well as another.
        self._stack.close()


def shards(arguments):
    print(f"{'delay each way':>14} {'updates/s':>10} {'waiting for data':>17} {'batches in flight':>18}")
    for milliseconds in arguments.delay_ms:
        settings = ["stop.max_rows=0", "stop.return_mean=0", "learner.pretrain_updates=1000000"]
        with Run(arguments.binaries, settings, delay=milliseconds / 1000) as run:
            run.wait_until("update 200", lambda: run.learner.total("pompc_learner_updates_total") >= 200)
            before, start = run.learner.metrics(), time.monotonic()
            time.sleep(arguments.seconds)
            after, seconds = run.learner.metrics(), time.monotonic() - start
        spent = {state: after["pompc_learner_state_seconds_total"][state] - value
                 for state, value in before["pompc_learner_state_seconds_total"].items()}
        updates = sum(after["pompc_learner_updates_total"].values()) - sum(before["pompc_learner_updates_total"].values())
        waiting = spent['state="waiting_for_data"'] / sum(spent.values())
        in_flight = sum(after["pompc_learner_prefetch_in_flight_batches"].values())
        print(f"{milliseconds:>11} ms {updates / seconds:>10.1f} {100 * waiting:>15.1f} % {in_flight:>18.0f}", flush=True)


def planner(arguments):
    # Rows alone: one update, and no evaluation.
    settings = ["stop.max_rows=0", "stop.return_mean=0", "learner.utd=0.001", "learner.seed_rows=1000",
                "learner.pretrain_updates=1", "actor.environments=8", "evaluation.every_rows=1000000000"]
    with Run(arguments.binaries, settings, planners=2) as run:
        rows = lambda: sum(value for labels, value in run.actor.metrics()["pompc_actor_rows_total"].items()
                           if 'phase="planned"' in labels)
        run.wait_until("planned rows", lambda: rows() > 500)
        last, last_time = rows(), time.monotonic()

        def watch(phase, seconds):
            nonlocal last, last_time
            rates = []
            for _ in range(seconds):
                time.sleep(1)
                now, now_time = rows(), time.monotonic()
                rates.append((now - last) / (now_time - last_time))
                last, last_time = now, now_time
            print(f"{phase:>8}: mean {sum(rates) / len(rates):6.0f} rows/s; " + " ".join(f"{rate:.0f}" for rate in rates),
                  flush=True)

        watch("before", 5)
        run.planners[0].popen.send_signal(signal.SIGSTOP)
        watch("stopped", arguments.seconds)
        run.planners[0].popen.send_signal(signal.SIGCONT)
        watch("after", 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shards", "planner"])
    parser.add_argument("binaries", type=pathlib.Path, help="build/release/bin")
    parser.add_argument("--delay-ms", type=int, nargs="+", default=[0, 100], help="each way (default: 0 100)")
    parser.add_argument("--seconds", type=int, default=20, help="how long to measure (default: 20)")
    arguments = parser.parse_args()
    {"shards": shards, "planner": planner}[arguments.what](arguments)


if __name__ == "__main__":
    main()
