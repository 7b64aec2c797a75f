"""A process of dm-reverb under load: the server, a process of writers, or the sampling learner; run by versus_reverb.py.

  PYTHON bench/replay/reverb_peer.py {server,writer,learner} '{"port": ..., ...}'

It speaks the lines of bench/replay/load.h. What is set follows Reverb's documentation and the advice in its docstrings:
StructuredWriter builds items in C++, chunks are as long as Reverb's own tuning makes them (or --chunk_length), a writer
has many items in flight and waits for them in blocks, and TrajectoryDataset takes windows several batches ahead and
stacks them in C++ (tf.data). Nothing of a row passes through Python but the call that appends it.
"""

import json
import os
import resource
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy  # pylint: disable=wrong-import-position
import reverb  # pylint: disable=wrong-import-position
import tensorflow as tf  # pylint: disable=wrong-import-position

TABLE = "rows"
EPISODE_ROWS = 500
# Different rows that writers append in turn. Random numbers, so that Reverb's compression gains nothing that it would
# not gain on observations.
POOL_ROWS = 1024
PROBE_PAUSE_SECONDS = 0.02


def step_spec(options):
    return {
        "observation": tf.TensorSpec([options["observation_size"]], tf.float32),
        "action": tf.TensorSpec([options["action_size"]], tf.float32),
        "reward": tf.TensorSpec([], tf.float32),
        "terminated": tf.TensorSpec([], tf.uint8),
    }


def writer_configs(options):
    """One item for each row: the window of H rows that ends with it, and the observation after them."""
    horizon, spec = options["horizon"], step_spec(options)
    last = lambda step: {name: node[-(horizon + 1):] if name == "observation" else node[-(horizon + 1):-1]
                         for name, node in step.items()}
    pattern = reverb.structured_writer.pattern_from_transform(spec, last)
    config = reverb.structured_writer.create_config(
        pattern, TABLE, conditions=[reverb.structured_writer.Condition.step_index() >= horizon])
    return [config], reverb.structured_writer.infer_signature([config], spec)


def rows(options):
    random = numpy.random.default_rng(options["seed"])
    return [{
        "observation": random.uniform(-1, 1, options["observation_size"]).astype(numpy.float32),
        "action": random.uniform(-1, 1, options["action_size"]).astype(numpy.float32),
        "reward": numpy.float32(random.uniform(0, 1)),
        "terminated": numpy.uint8(0),
    } for _ in range(POOL_ROWS)]


class Server:
    def __init__(self, options):
        _, signature = writer_configs(options)
        ratio = options["windows_per_row"]
        limiter = reverb.rate_limiters.MinSize(1)
        if ratio > 0:
            limiter = reverb.rate_limiters.SampleToInsertRatio(
                samples_per_insert=ratio, min_size_to_sample=options["fill_rows"],
                error_buffer=ratio * options["slack_rows"])
        table = reverb.Table(name=TABLE, sampler=reverb.selectors.Uniform(), remover=reverb.selectors.Fifo(),
                             max_size=options["capacity_rows"], rate_limiter=limiter, signature=signature)
        self.server = reverb.Server(tables=[table], port=options["port"])

    def counts(self):
        return {}


class Writers:
    """Appends to its writers in turn, from one thread: the calls copy a row and return, and what they send is up to
    Reverb's own threads."""

    def __init__(self, options):
        self.options, self.rows, self.latencies = options, rows(options), []
        self.client = reverb.Client(f"127.0.0.1:{options['port']}")
        self.configs, _ = writer_configs(options)
        self.writers = [self.client.structured_writer(self.configs) for _ in range(options["writers"])]
        self.steps = self.appended = 0
        self.stopping = threading.Event()
        self.threads = []

    def step(self):
        """A row to each writer."""
        row = self.rows[self.steps % POOL_ROWS]
        self.steps += 1
        if self.steps % EPISODE_ROWS == 0:
            for writer in self.writers:
                writer.end_episode()
        for writer in self.writers:
            writer.append(row)
            if self.steps % self.options["flush_every"] == 0:
                writer.flush(block_until_num_items=self.options["items_in_flight"])
        self.appended += len(self.writers)

    def fill(self, count):
        while self.appended < count:
            self.step()
        for writer in self.writers:
            writer.flush()

    def run(self):
        def work():
            while not self.stopping.is_set():
                self.step()

        def probe():
            writer = self.client.structured_writer(self.configs)
            for i in range(self.options["horizon"]):
                writer.append(self.rows[i])
            while not self.stopping.wait(PROBE_PAUSE_SECONDS):
                start = time.perf_counter()
                writer.append(self.rows[0])
                writer.flush()
                self.latencies.append(time.perf_counter() - start)

        targets = [work] + ([probe] if self.options["probe"] else [])
        self.threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self.threads:
            thread.start()

    def counts(self):
        return {"rows": self.appended}


class Learner:
    def __init__(self, options):
        self.options, self.latencies, self.windows = options, [], 0
        self.stopping = threading.Event()

    def batches(self):
        options = self.options
        dataset = reverb.TrajectoryDataset.from_table_signature(
            server_address=f"127.0.0.1:{options['port']}", table=TABLE,
            max_in_flight_samples_per_worker=options["batches_in_flight"] * options["batch"],
            num_workers_per_iterator=options["sample_workers"])
        dataset = dataset.batch(options["batch"], drop_remainder=True).prefetch(2)
        return iter(dataset)

    def run(self):
        def work():
            batches = self.batches()
            while not self.stopping.is_set():
                start = time.perf_counter()
                next(batches)
                self.latencies.append(time.perf_counter() - start)
                self.windows += self.options["batch"]

        threading.Thread(target=work, daemon=True).start()

    def counts(self):
        return {"windows": self.windows}


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def answer(message):
    print(json.dumps(message), flush=True)


def main():
    role, options = sys.argv[1], json.loads(sys.argv[2])
    peer = {"server": Server, "writer": Writers, "learner": Learner}[role](options)
    answer({"ready": True})
    began = None
    for line in sys.stdin:
        command = line.split()
        if command[0] == "fill":
            peer.fill(int(command[1]))
            answer({"filled": True})
        elif command[0] == "run":
            peer.run()
        elif command[0] == "begin":
            latencies = getattr(peer, "latencies", [])
            began = (usage(), peer.counts(), len(latencies), time.perf_counter())
            answer({"begun": True})
        elif command[0] == "end":
            cpu, counts, first, start = began
            found = {name: value - counts[name] for name, value in peer.counts().items()}
            answer({**found, "cpu_s": usage() - cpu, "seconds": time.perf_counter() - start,
                    "latencies_s": getattr(peer, "latencies", [])[first:]})
    # Threads may wait for the server, which is killed next; nothing here is worth an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
