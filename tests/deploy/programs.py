"""What the programs themselves say: their flags, the variables for them, and the ports that their images set."""

import functools
import os
import re
import subprocess

import tools

IMAGES = ("replay", "actor", "planner", "learner")


@functools.lru_cache
def help_text(folder, image):
    """--help of the program of an image, from the folder of programs."""
    return subprocess.run([os.path.join(folder, f"pompc-{image}"), "--help"], check=True, capture_output=True,
                          text=True).stdout


def flags(folder, image):
    """Long names of the program's flags: {"--listen", ...}."""
    return set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", help_text(folder, image), re.MULTILINE))


def variables(folder, image):
    """Names of the variables that stand for flags: {"POMPC_LISTEN", ...}."""
    return set(re.findall(r"\(Env:(\w+)\)", help_text(folder, image)))


def unknown_arguments(folder, image, arguments, environment):
    """The flags and variables of a container that its program does not have."""
    given = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
    named = {name for name in environment if name.startswith("POMPC_")}
    return sorted(given - flags(folder, image)) + sorted(named - variables(folder, image))


def image_ports():
    """Ports that docker/Dockerfile has the programs listen on: {"grpc": 7000, "metrics": 9100}."""
    with open(os.path.join(tools.ROOT, "docker", "Dockerfile"), encoding="utf-8") as file:
        text = file.read()
    listening = {ports for ports in re.findall(r"POMPC_LISTEN=[\d.]+:(\d+) POMPC_METRICS_LISTEN=[\d.]+:(\d+)", text)}
    [(grpc, metrics)] = listening
    return {"grpc": int(grpc), "metrics": int(metrics)}
