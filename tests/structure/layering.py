"""Which folder may include which. Used by layering_test.py; docs/architecture.md has it in words."""

import os
import re

import source_tree

# common/ from the bottom up.
VALUES = ("common/values",)
THREADS = VALUES + ("common/base",)
PROCESS = THREADS + ("common/process",)
IO = PROCESS + ("common/io",)
COMMON = IO + ("common/metrics",)
CONFIG = COMMON + ("proto", "common/config")
BASE = CONFIG + ("common/rpc",)
RUN_CONTROL = ("run/control", "run/rows")
REPLAY_CLIENT = ("replay/core", "replay/dataset", "replay/wire", "replay/client")

# Folder: the project folders it may include besides itself. The longest matching prefix of a path names its folder.
ALLOWED = {
    "common/values": (),
    "common/base": VALUES,
    "common/process": THREADS,
    "common/io": PROCESS,
    "common/metrics": IO,
    "proto": COMMON,
    "common/config": IO + ("proto",),
    "common/rpc": COMMON + ("proto",),
    "model": IO,
    "run/rows": VALUES,
    "run/control": THREADS + ("proto", "run/rows"),
    "run": BASE + RUN_CONTROL,
    "parameters": BASE,
    "rundir": CONFIG + ("run/control",),
    "replay/core": PROCESS,
    "replay/dataset": IO + ("replay/core",),
    "replay/wire": THREADS + ("proto", "replay/core"),
    "replay/client": BASE + ("replay/core", "replay/dataset", "replay/wire"),
    "replay/store": PROCESS + ("common/io", "replay/core"),
    "replay": BASE + ("replay/core", "replay/wire", "replay/store"),
    "planner/core": PROCESS,
    "planner/client": BASE,
    "planner": BASE + ("model", "planner/core", "parameters"),
    "learner/update": IO + ("model",),
    "learner/ranks": BASE,
    "learner/engine": BASE + ("model", "parameters", "learner/update") + REPLAY_CLIENT,
    "learner/feed": BASE + ("learner/engine", "run") + RUN_CONTROL + REPLAY_CLIENT,
    "learner/status": CONFIG + ("rundir",) + RUN_CONTROL,
    "learner": BASE + ("learner/engine", "learner/feed", "learner/ranks", "learner/status", "parameters", "run", "rundir")
               + RUN_CONTROL
               + REPLAY_CLIENT,
    "actor/env/physics": PROCESS + ("common/io",),
    "actor/env/render": IO + ("actor/env/physics",),
    "actor/env/tasks": IO + ("actor/env/physics", "actor/env"),
    "actor/env": IO + ("actor/env/physics",),
    "actor/core": COMMON + ("actor/env",),
    "actor": BASE + ("actor/core", "actor/env", "planner/client", "run") + REPLAY_CLIENT,
}
# Single headers beyond those folders.
ALLOWED_HEADERS = {
    # What neither waits nor knows the time.
    "run/rows": ("common/base/check.h",),
    # The run's config: the one message that they read.
    "model": ("proto/config.pb.h",),
    # And the columns of replay, which a batch consists of.
    "learner/update": ("proto/config.pb.h", "replay/core/row.h"),
    # Constants alone, and the row that it makes.
    "actor/core": ("common/rpc/message_size.h", "replay/core/row.h"),
}
# What includes everything: the command that embeds all roles, and tests and benches of anything.
TOP = ("cli", "tests", "bench")
# The folders within cli/, and which of those each may include.
INSIDE_CLI = {
    "cli/report": (),
    "cli/film": (),
    "cli/checkpoint": ("cli/report",),
    "cli/replay": ("cli/report",),
    "cli/sweep": ("cli/report",),
    "cli/commands": ("cli/report", "cli/film", "cli/checkpoint", "cli/replay", "cli/sweep"),
}

# Third-party headers: pattern, and the folders (with all below them) that may include it.
THIRD_PARTY = (
    ("gRPC", re.compile(r"^grpc(pp)?/"),
     ("common/rpc", "parameters", "run", "replay", "planner", "learner", "actor") + TOP,
     ("run/control", "run/rows", "replay/core", "planner/core", "learner/update", "actor/env")),
    ("Protocol Buffers", re.compile(r"^google/protobuf/|^proto/.*\.pb\.h$"),
     ("proto", "common/config", "common/rpc", "model", "parameters", "run", "rundir", "replay", "planner", "learner",
      "actor") + TOP,
     ("run/rows", "replay/core", "planner/core", "actor/env")),
    ("LibTorch", re.compile(r"^(torch|ATen|c10|caffe2)/"),
     ("model", "planner", "learner") + TOP,
     ("planner/core", "planner/client", "learner/feed", "learner/ranks")),
    ("OpenSSL", re.compile(r"^openssl/"), ("common/rpc", "tests"), ()),
    ("RocksDB", re.compile(r"^rocksdb/"), ("replay/store", "tests", "bench"), ()),
    ("MuJoCo", re.compile(r"^mujoco/"), ("actor/env", "tests", "bench"), ()),
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def below(path, folder):
    return path == folder or path.startswith(folder + "/")


def folder_of(path):
    """The folder of ALLOWED or TOP that holds the path, or None for third-party headers."""
    matches = [folder for folder in (*ALLOWED, *TOP) if path.startswith(folder + "/")]
    return max(matches, key=len, default=None)


def violations(path, text):
    """What is wrong with the includes of one file, in words."""
    own = folder_of(path)
    problems = []
    for bracket, header in INCLUDE.findall(text):
        target = folder_of(header)
        if target is not None and bracket == "<":
            problems.append(f'{path}: <{header}> is ours, include it as "{header}"')
        if target is not None and own not in TOP and target != own and target not in ALLOWED[own] \
                and header not in ALLOWED_HEADERS.get(own, ()):
            problems.append(f"{path}: {own}/ must not include {header}")
        inside, wanted = os.path.dirname(path), os.path.dirname(header)
        if inside in INSIDE_CLI and wanted.startswith("cli") and wanted not in (inside, *INSIDE_CLI[inside]):
            problems.append(f"{path}: {inside}/ must not include {header}")
        if target in ("tests", "bench") and own != target and not (own == "bench" and target == "tests") and not (
                target == "bench" and path.startswith("tests/bench/")):
            problems.append(f"{path}: {header} is for {target}/ alone")
        for library, pattern, allowed, denied in THIRD_PARTY:
            if not pattern.search(header):
                continue
            may = any(below(path, folder) for folder in allowed) and not any(below(path, folder) for folder in denied)
            if not may:
                problems.append(f"{path}: {library} ({header}) does not belong here")
        if os.path.exists(os.path.join(source_tree.ROOT, os.path.dirname(path), header)):
            problems.append(f'{path}: "{header}": own headers are included from the root of the repository')
    return problems
