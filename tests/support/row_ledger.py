"""A ledger of the rows that shards hold: what was there once must be there ever after, once and unaltered."""

import collections
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "scripts"))
import tensor_file  # pylint: disable=wrong-import-position

# What makes a row: the plan may be replaced, the rest never changes.
COLUMNS = ("observations", "actions", "rewards", "terminated")


class RowLedger:
    """Rows by their segment and number. For shards that evict nothing."""

    def __init__(self, pompc, scratch):
        self.pompc, self.scratch = pompc, scratch
        self.rows = {}

    def audit(self, *places):
        """Reads all rows of these shards or their folders, and returns what is wrong, in words."""
        now, problems = {}, []
        for shard, place in enumerate(places):
            rows, wrong = self.read(shard, place)
            now.update(rows)
            problems += wrong
        lost = [key for key in self.rows if key not in now]
        altered = [key for key, row in self.rows.items() if now.get(key, row) != row]
        for what, keys in (("lost", lost), ("altered", altered)):
            if keys:
                problems.append(f"{len(keys)} rows are {what}, among them (shard, actor, incarnation, environment, episode, "
                                f"segment, row) {sorted(keys)[:3]}")
        self.rows = now
        return problems

    def read(self, shard, place):
        """(segment and number -> row, problems) of one shard."""
        self.scratch.unlink(missing_ok=True)
        export = subprocess.run([self.pompc, "replay", "export", str(place), "--out", str(self.scratch)],
                                capture_output=True, text=True, timeout=120)
        if export.returncode != 0:
            return {}, [f"shard {shard} cannot be read: {export.stderr[-500:]}"]
        data = tensor_file.load(self.scratch)
        columns = [data[name].reshape(len(data["rewards"]), -1) for name in COLUMNS]
        starts = [int(start) for start in data["episode_starts"]] + [len(data["rewards"])]
        rows, problems, counts = {}, [], collections.Counter()
        for episode, source in enumerate(data["episode_sources"]):
            segment, first = (shard, *(int(number) for number in source[1:6])), int(source[6])
            if first != counts[segment]:
                problems.append(f"segment {segment} has {counts[segment]} rows before row {first}")
            counts[segment] += starts[episode + 1] - starts[episode]
            for i in range(starts[episode], starts[episode + 1]):
                rows[*segment, first + i - starts[episode]] = hash(b"".join(column[i].tobytes() for column in columns))
        if len(rows) != len(data["rewards"]):
            problems.append(f"shard {shard} holds {len(data['rewards']) - len(rows)} rows twice")
        return rows, problems
