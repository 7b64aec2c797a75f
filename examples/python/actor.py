#!/usr/bin/env python3
"""An actor of a pompc run, or with --evaluate its evaluator, for an environment of Gymnasium's (docs/python.md).

  pip install ./python gymnasium
  python3 examples/python/actor.py --print-config > pendulum.textproto
  scripts/local-cluster.sh --config pendulum.textproto --actor-command "python3 examples/python/actor.py"
"""

import sys

import gymnasium
import pompc


def make_env():
    return gymnasium.make("Pendulum-v1")


if __name__ == "__main__":
    sys.exit(pompc.Actor(make_env).main())
