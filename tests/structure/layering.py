"""Which folder may include which. Used by layering_test.py; docs/architecture.md has it in words."""

import os
import re

import source_tree

BASE = ("common", "proto", "common/config", "common/rpc")

# Folder: the project folders it may include besides itself. The longest matching prefix of a path names its folder.
ALLOWED = {
    "common": (),
    "proto": ("common",),
    "common/config": ("common", "proto"),
    "common/rpc": ("common", "proto"),
    "model": ("common",),
    "replay/core": ("common",),
    "replay/client": BASE + ("replay/core",),
    "replay": BASE + ("replay/core",),
    "planner/core": ("common",),
    "planner/client": BASE,
    "planner": BASE + ("model", "planner/core", "learner/client", "learner/broadcast"),
    "learner/update": ("common", "model"),
    "learner/control": ("common",),
    "learner/broadcast": BASE,
    "learner/client": BASE + ("learner/broadcast",),
    "learner": BASE + ("model", "learner/update", "learner/control", "learner/broadcast", "replay/core",
                       "replay/client", "planner/client"),
    "actor/env": ("common",),
    "actor": BASE + ("actor/env", "replay/core", "replay/client", "planner/client", "learner/client"),
}
# Single headers beyond those folders.
ALLOWED_HEADERS = {
    # Plain structs without LibTorch.
    "learner/broadcast": ("model/config.h",),
}
# What includes everything: the command that embeds all roles, and tests and benches of anything.
TOP = ("cli", "tests", "bench")

# Third-party headers: pattern, and the folders (with all below them) that may include it.
THIRD_PARTY = (
    ("gRPC", re.compile(r"^grpc(pp)?/"),
     ("common/rpc", "replay", "planner", "learner", "actor") + TOP,
     ("replay/core", "planner/core", "learner/update", "learner/control", "actor/env")),
    ("Protocol Buffers", re.compile(r"^google/protobuf/|^proto/.*\.pb\.h$"),
     ("proto", "common/config", "common/rpc", "replay", "planner", "learner", "actor") + TOP,
     ("replay/core", "planner/core", "learner/update", "learner/control", "actor/env")),
    ("LibTorch", re.compile(r"^(torch|ATen|c10|caffe2)/"),
     ("model", "planner", "learner") + TOP,
     ("planner/core", "planner/client", "learner/control", "learner/broadcast", "learner/client")),
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
        if target in ("tests", "bench") and own != target and not (own == "bench" and target == "tests"):
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
