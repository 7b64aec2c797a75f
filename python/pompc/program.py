"""The program that an actor in Python is: flags, signals, exit status.

  python3 -m pompc --env Pendulum-v1 --print-config                 # settings of the run for --config: task and sizes
  python3 -m pompc --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --replay HOST:PORT[,...]
  python3 -m pompc --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --evaluate

--env is one of Gymnasium's ids, or module:function for a function that returns an environment with its interface; the
module is looked for in the current folder first. A program of your own that calls pompc.Actor(make_env).main() has the
same flags without --env.

Exit status: 0 when the run is over or a signal ended the process, 2 for flags and environments that cannot be used, 1
when something else is wrong. docs/external-environments.md says how a run with such an environment is started.
"""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from pompc import actor, limits, roles, wire
from pompc.environment import Maker
from pompc.errors import Failed, Refused
from pompc.log import log


def main(make_env: Maker | str | None, arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status; `make_env` of None: what --env names. Ends the process where code of the environment
    does not let it end."""
    result = 1
    try:
        result = _main(make_env, arguments)
    finally:
        exit_within(limits.EXIT_SECONDS, result)
    return result


def _main(make_env: Maker | str | None, arguments: Sequence[str] | None) -> int:
    flags = parse_flags(arguments, has_environment=make_env is not None)
    if sys.stderr is not None:
        # As it is now, whatever the environment does with it.
        log.stream = open(os.dup(2), "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    make = flags.env if make_env is None else make_env
    try:
        (print_config if flags.print_config else play)(flags, make)
    except (Refused, Failed) as error:
        log.say(f"{name()}: {' '.join(str(error).split())}")
        return 2 if isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        return 130
    return 0


def name() -> str:
    """Of the program, in its messages."""
    script = os.path.basename(sys.argv[0]) if sys.argv else ""
    return "pompc" if script in ("", "-c", "-m", "__main__.py") else script


def print_config(flags: argparse.Namespace, make_env: Maker | str) -> None:
    """On stdout, where nothing that the environment prints may come between."""
    if sys.stdout is None:
        raise Failed("there is no standard output to print the config on")
    stdout = os.dup(1)
    os.dup2(2 if sys.stderr else os.open(os.devnull, os.O_WRONLY), 1)
    (made,) = actor.make_all(make_env, 1)
    text = actor.config_text(made, flags.action_repeat, flags.episode_steps, flags.terminates)
    try:
        with open(stdout, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failed(f"cannot print the config: {error.strerror}") from error
    exit_within(limits.EXIT_SECONDS, 0)
    roles.home_of(made).call(made.close)


def play(flags: argparse.Namespace, make_env: Maker | str) -> None:
    """Until the run is over."""
    # Before any channel is made: environments that fork would disturb gRPC.
    made = actor.make_all(make_env, 1 if flags.evaluate else flags.environments)
    stop = stop_at_signals()
    servers = roles.Servers(flags.planners, flags.replay, wire.certificates_folder(flags.certificates))
    actor.play(made, flags.learner, servers, flags.evaluate, stop)
    exit_within(limits.EXIT_SECONDS, 0)
    for closed in [roles.home_of(one).begin(one.close) for one in made if one.inside is None]:
        closed.result()


def stop_at_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and notices of the end set; a later SIGINT or SIGTERM ends the process at once."""
    stop = threading.Event()
    # The terminal is gone, the CPU time is used up, a batch system is about to end the process.
    notices = (signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)

    def handle(number: int, _: Any) -> None:
        # A terminal that closes sends SIGHUP twice, the kernel SIGXCPU every second.
        if stop.is_set() and number not in notices:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()

    former: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, *notices):
        # nohup has SIGHUP ignored.
        if number not in notices or signal.getsignal(number) != signal.SIG_IGN:
            former[number] = signal.signal(number, handle)
    restore_in_forks(handle, former)
    return stop


def restore_in_forks(handle: Callable[[int, Any], None], former: dict[int, Any]) -> None:
    """In processes that the environments fork, signals do what they did before `handle`. One that comes in between
    waits until then."""
    masks = threading.local()

    def before() -> None:
        masks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, former)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.mask)

    def in_child() -> None:
        for number, handler in former.items():
            # An environment may have set its own.
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.mask)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def whole_number(most: int) -> Callable[[str], int]:
    """A flag's value from 1 to `most`, in decimal digits."""
    def parse(text: str) -> int:
        if not re.fullmatch("[1-9][0-9]{0,17}", text, re.ASCII) or int(text) > most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to {most}")
        return int(text)
    return parse


def _refused_flag(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except Refused as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return parsed


address = _refused_flag(wire.parse_address)
addresses = _refused_flag(wire.parse_addresses)


def parse_flags(arguments: Sequence[str] | None = None, has_environment: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=name(), description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    if not has_environment:
        parser.add_argument("--env", required=True, help="an id of Gymnasium's, or module:function")
    parser.add_argument("--learner", type=address, help="host:port")
    parser.add_argument("--planners", type=addresses, help="host:port of each, comma-separated")
    parser.add_argument("--replay", type=addresses, default=[], help="host:port of each shard, in the learner's order")
    parser.add_argument("--certificates", metavar="DIR",
                        help="folder with ca.crt, tls.crt and tls.key of the role actor, where the run's connections "
                             "are secured (default: $POMPC_CERTIFICATES)")
    parser.add_argument("--environments", type=whole_number(limits.MAX_ENVIRONMENTS), default=1,
                        help="stepped at the same time, each in a thread (default: 1)")
    parser.add_argument("--evaluate", action="store_true", help="play the evaluations instead")
    parser.add_argument("--print-config", action="store_true", help="print what the run's config needs, and stop")
    parser.add_argument("--action-repeat", type=whole_number(100), default=1, help="for --print-config (default: 1)")
    parser.add_argument("--episode-steps", type=whole_number(10**9),
                        help="for --print-config, if the environment does not tell")
    parser.add_argument("--terminates", action="store_true",
                        help="for --print-config: episodes can end in true terminal states, beside the time limit")
    flags = parser.parse_args(arguments)
    wanted = [] if flags.print_config else ["learner", "planners"] + ([] if flags.evaluate else ["replay"])
    for missing in wanted:
        if not getattr(flags, missing):
            parser.error(f"--{missing} is missing")
    return flags


def exit_within(seconds: float, status: int) -> None:
    """Ends the process with that status even if the environment's own code does not let it: threads that it started,
    its close(), what it registered with atexit."""
    def end() -> None:
        log.say(f"{name()}: code of the environment has not ended within {seconds:g} s; it is not waited for")
        os._exit(status)
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
