"""pompc from Python: actors and evaluators of runs, planners, replay, runs, policies (docs/python.md).

What needs grpcio and protobuf is imported when it is first used: load_policy needs NumPy alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pompc.errors import Failed, Refused

if TYPE_CHECKING:
    from pompc.actor import Actor
    from pompc.planner import Plan, Planner
    from pompc.policy import Policy, load_policy
    from pompc.replay import Replay
    from pompc.run import Run
    from pompc.spaces import Actions, Observations

_MODULES = {"Actor": "actor", "Actions": "spaces", "Observations": "spaces", "Plan": "planner", "Planner": "planner",
            "Policy": "policy", "load_policy": "policy", "Replay": "replay", "Run": "run"}

__all__ = ["Actions", "Actor", "Failed", "Observations", "Plan", "Planner", "Policy", "Refused", "Replay", "Run",
           "load_policy"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'pompc' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pompc.{_MODULES[name]}"), name)
