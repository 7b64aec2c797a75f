"""What the processes of a fleet say of themselves over time, and what must hold of it."""

import bisect
import collections
import csv
import math
import threading
import time

ROWS, UPDATES = "pompc_replay_accepted_rows_total", "pompc_learner_updates_total"
STORED = "pompc_replay_stored_rows"
MEMORY, FILES = "process_resident_memory_bytes", "process_open_fds"
STORED_BYTES, LOADED = "pompc_replay_stored_bytes", "pompc_replay_loaded_percent"
RESUMED = "pompc_actor_resumed_segments_total"
METRICS = (ROWS, UPDATES, STORED, STORED_BYTES, LOADED, MEMORY, FILES, RESUMED)
PERIOD_SECONDS = 0.5
# What a process may grow by in one life beyond the rows that it holds: pools of allocators and of gRPC fill up slowly,
# and so do RocksDB's.
GROWTH, GROWTH_BYTES, GROWTH_FILES = 0.15, {"replay": 96 << 20}, 12
DEFAULT_GROWTH_BYTES = 32 << 20

Sample = collections.namedtuple("Sample", "time life values")


class Limits:
    """The settings by which rows and updates hold each other back (docs/replay.md)."""

    def __init__(self, seed_rows, pretrain_updates, utd, slack_rows, unsure_rows):
        self.seed_rows, self.pretrain_updates, self.utd, self.slack_rows = seed_rows, pretrain_updates, utd, slack_rows
        # Rows that a shard has counted and that were not durable when it was killed: their writers still have them.
        self.unsure_rows = unsure_rows

    def most_updates(self, rows):
        ahead = rows + self.unsure_rows - self.seed_rows
        return self.pretrain_updates + self.utd * ahead if ahead >= 0 else 0

    def most_rows(self, updates):
        ahead = self.slack_rows + math.ceil(1 / self.utd)
        return self.seed_rows + max(0, updates - self.pretrain_updates) / self.utd + ahead


class Watch:
    """Reads each member's metrics twice a second, on a thread for each."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.history = {name: [] for name in fleet.members}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._read, args=(member,)) for member in fleet.members.values()]
        for thread in self.threads:
            thread.start()
        self.marks = collections.defaultdict(list)

    def _read(self, member):
        while not self.over.wait(PERIOD_SECONDS):
            if not member.alive() or member.paused:
                continue
            life, now = member.life, time.monotonic()
            metrics = member.metrics()
            values = {name: sum(metrics[name].values()) for name in METRICS if name in metrics}
            # A shard knows its rows once it has loaded them; before, its page lacks them or has a part.
            whole = values.get(LOADED) == 100 if member.name in self.fleet.shards else values
            if whole and life == member.life:
                self.history[member.name].append(Sample(now, life, values))

    def close(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def newest(self, name, metric):
        """0 before the first."""
        samples = self.history[name]
        return samples[-1].values.get(metric, 0) if samples else 0

    def most(self, name, metric):
        """Over all lives."""
        return max((sample.values.get(metric, 0) for sample in self.history[name]), default=0)

    def rows(self):
        return int(sum(self.newest(name, ROWS) for name in self.fleet.shards))

    def updates(self):
        return int(self.newest("learner", UPDATES))

    def rate(self, names, metric, since):
        """Per second since then, over these members; 0 where one of them was not there all the time."""
        total = 0
        for name in names:
            samples = list(self.history[name])
            samples = samples[max(0, bisect.bisect_right(samples, since, key=lambda sample: sample.time) - 1):]
            if len(samples) < 3 or samples[0].life != samples[-1].life or samples[0].time > since + PERIOD_SECONDS:
                return 0
            total += (samples[-1].values.get(metric, 0) - samples[0].values.get(metric, 0)) / (
                samples[-1].time - samples[0].time)
        return total

    def rates(self, since):
        return self.rate(self.fleet.shards, ROWS, since), self.rate(["learner"], UPDATES, since)

    def mark(self):
        """Notes what each process holds, in peace."""
        for name, member in self.fleet.members.items():
            if samples := [sample for sample in self.history[name][-1:] if sample.life == member.life]:
                values = samples[0].values
                held = values[MEMORY] - values.get(STORED_BYTES, 0)
                self.marks[name, member.life].append((held, values[FILES]))

    def leaks(self):
        """Of processes that lived through three marks or more, those that grew, in words."""
        problems = []
        for (name, life), marks in self.marks.items():
            third = len(marks) // 3
            if third == 0:
                continue
            for what, index, slack in (("bytes of memory", 0, GROWTH_BYTES.get(name.split("-")[0], DEFAULT_GROWTH_BYTES)),
                                       ("open files", 1, GROWTH_FILES)):
                before = max(mark[index] for mark in marks[:third])
                after = min(mark[index] for mark in marks[-third:])
                if after > before * (1 + GROWTH) + slack:
                    problems.append(f"{name}, life {life}: {what}: {[round(mark[index]) for mark in marks]}")
        return problems

    def growth(self):
        """Of each member's longest life: name, marks, bytes before and after."""
        longest = {}
        for (name, _), marks in self.marks.items():
            if len(marks) > len(longest.get(name, ())):
                longest[name] = marks
        return [(name, len(marks), marks[0][0], marks[-1][0], marks[0][1], marks[-1][1])
                for name, marks in longest.items()]

    def limiter_problems(self, limits):
        """Over the whole history: updates that the rows did not allow, and rows beyond what the updates allow."""
        learner = list(self.history["learner"])
        shards = [list(self.history[name]) for name in self.fleet.shards]
        times = [[sample.time for sample in samples] for samples in shards]
        problems = []
        most = peak = 0
        for i, sample in enumerate(learner):
            updates = sample.values.get(UPDATES, 0)
            following = learner[i + 1] if i + 1 < len(learner) else None
            # Rows that were there at this time at the latest: the first counts after it.
            after = [bisect.bisect_left(times[s], sample.time) for s in range(len(shards))]
            if all(after[s] < len(shards[s]) for s in range(len(shards))):
                rows = sum(shards[s][after[s]].values.get(ROWS, 0) for s in range(len(shards)))
                if updates > limits.most_updates(rows):
                    problems.append(f"{updates:.0f} updates with {rows:.0f} rows; {limits.most_updates(rows):.0f} allowed")
            # Rows that were there at this time for certain: the last counts before it. What the learner of them allowed is
            # known up to its next count, or, if it was lost before, up to what it can have made until then.
            if i > 0 and learner[i - 1].life == sample.life:
                peak = max(peak, (updates - learner[i - 1].values.get(UPDATES, 0)) / (sample.time - learner[i - 1].time))
            if following is not None and following.life != sample.life:
                most = max(most, updates + peak * (following.time - sample.time))
            most = max(most, updates)
            before = [after[s] - 1 for s in range(len(shards))]
            if min(before) >= 0:
                rows = sum(shards[s][before[s]].values.get(ROWS, 0) for s in range(len(shards)))
                if rows > limits.most_rows(most) + limits.unsure_rows:
                    problems.append(f"{rows:.0f} rows with {most:.0f} updates; {limits.most_rows(most):.0f} allowed")
        return problems


def late_returns(run):
    """Mean returns of the evaluations in the last third of a run's rows, in the order in which they were made."""
    with open(run / "evaluations.csv", encoding="ascii") as file:
        rows = [(int(row["rows"]), float(row["return_mean"])) for row in csv.DictReader(file)]
    return [value for count, value in rows if count >= 2 / 3 * max(count for count, _ in rows)] if rows else []
