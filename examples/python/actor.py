#!/usr/bin/env python3
"""An actor, or with --evaluate an evaluator, of a pompc run whose environment is written in Python.

  actor.py --env Pendulum-v1 --print-config                 # settings of the run for --config: task and sizes
  actor.py --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --replay HOST:PORT[,...]
  actor.py --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --evaluate

--env is one of Gymnasium's ids, or module:function for a function that returns an environment with its interface; the
module is looked for in the current folder first. An actor asks planners for each decision and sends what happened to
the replay shards; it keeps nothing that matters, and may be killed and started again at any time.

Exit status: 0 when the run is over or a signal ended the process, 2 for flags and environments that cannot be used, 1
when something else is wrong. docs/external-environments.md says how a run with such an environment is started.
"""

import argparse
import numbers
import os
import re
import signal
import sys
import threading

# Worker processes that an environment starts import this file too, without the folder of pompc_actor in their search
# path: only the standard library is imported here, the rest by import_parts().

MAX_ENVIRONMENTS = 4096
EXIT_SECONDS = 10   # that the environments' own code gets to end
HERE = os.path.dirname(os.path.realpath(__file__))


def import_parts():
    """The rest of this program, which lies beside this file, whether or not Python looks there by itself."""
    global Failed, Refused, clients, environment, roles, wire  # pylint: disable=global-statement
    sys.path.insert(0, HERE)
    try:
        from pompc_actor import Failed, Refused, clients, environment, roles, wire
    except ImportError as error:
        needed = (error.name or "").partition(".")[0] in ("numpy", "grpc", "google")
        hint = (" (it needs NumPy, grpcio and protobuf; Debian: python3-numpy python3-grpcio python3-protobuf)"
                if needed else "")
        sys.exit(f"actor.py: {error}{hint}")
    except Exception as problem:  # pylint: disable=broad-except
        sys.exit(f"actor.py: {' '.join(str(problem).split())}")


def prepare_imports():
    """Environments import what they would in a program of their own: modules of the current folder are looked for where
    those of this file's folder were until now."""
    sys.path[:] = [folder for folder in sys.path if not os.path.isabs(folder) or os.path.realpath(folder) != HERE]
    if not getattr(sys.flags, "safe_path", False):
        try:
            sys.path.insert(0, os.getcwd())
        except OSError:
            pass  # the current folder was deleted: nothing is in it


def print_config(flags):
    """On stdout, where nothing that the environment prints may come between."""
    if sys.stdout is None:
        raise Failed("there is no standard output to print the config on")
    stdout = os.dup(1)
    os.dup2(2 if sys.stderr else os.open(os.devnull, os.O_WRONLY), 1)
    (made,) = environment.make_all(flags.env, 1)
    steps = flags.episode_steps or made.max_episode_steps
    if not isinstance(steps, numbers.Integral) or steps < 1:
        raise Refused(f"{flags.env} does not tell how long its episodes are: give --episode-steps")
    terminates = "\n         terminates: true" if flags.terminates else ""
    text = (f'env {{\n  task: "external"\n  action_repeat: {flags.action_repeat}\n'
            f"  spec {{ observation_size: {made.observation_size} action_size: {made.action_size} "
            f"episode_decisions: {-(-int(steps) // flags.action_repeat)}{terminates} }}\n}}\n")
    try:
        with open(stdout, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Failed(f"cannot print the config: {error.strerror}") from error
    exit_within(EXIT_SECONDS, 0)
    made.home.call(made.close)


def play(flags):
    """Until the run is over."""
    # Before any channel is made: environments that fork would disturb gRPC.
    made = environment.make_all(flags.env, 1 if flags.evaluate else flags.environments)
    stop = stop_at_signals()
    role = wire.proto.Role.EVALUATOR if flags.evaluate else wire.proto.Role.ACTOR
    identity = clients.Identity(role, 0 if flags.evaluate else flags.environments)
    if flags.certificates:
        wire.use_certificates(flags.certificates)
    learner = wire.stub("RunService", flags.learner)
    while True:
        try:
            (roles.evaluate if flags.evaluate else roles.act)(flags, learner, identity, made, stop)
        except clients.LeaseEnded:
            continue
        except clients.Stopped:
            break
    clients.log.info("ends")
    exit_within(EXIT_SECONDS, 0)
    for closed in [one.home.begin(one.close) for one in made if one.inside is None]:
        closed.result()


def stop_at_signals():
    """An event that SIGINT, SIGTERM and notices of the end set; a later SIGINT or SIGTERM ends the process at once."""
    stop = threading.Event()
    # The terminal is gone, the CPU time is used up, a batch system is about to end the process.
    notices = (signal.SIGHUP, signal.SIGXCPU, signal.SIGUSR1, signal.SIGUSR2)

    def handle(number, _):
        # A terminal that closes sends SIGHUP twice, the kernel SIGXCPU every second.
        if stop.is_set() and number not in notices:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()

    former = {}
    for number in (signal.SIGINT, signal.SIGTERM, *notices):
        # nohup has SIGHUP ignored.
        if number not in notices or signal.getsignal(number) != signal.SIG_IGN:
            former[number] = signal.signal(number, handle)
    restore_in_forks(handle, former)
    return stop


def restore_in_forks(handle, former):
    """In processes that the environments fork, signals do what they did before `handle`. One that comes in between
    waits until then."""
    masks = threading.local()

    def before():
        masks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, former)

    def in_parent():
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.mask)

    def in_child():
        for number, handler in former.items():
            # An environment may have set its own.
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.mask)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def whole_number(most):
    """A flag's value from 1 to `most`, in decimal digits."""
    def parse(text):
        if not re.fullmatch("[1-9][0-9]{0,17}", text, re.ASCII) or int(text) > most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to {most}")
        return int(text)
    return parse


def address(text):
    """As ParseEndpoints in common/rpc/endpoint.h takes it."""
    text = text.strip()
    if ":///" in text or text.startswith("unix:"):
        return text
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not an address; allowed: host:port with a port from 1 to 65535")
    return text


def addresses(text):
    return [address(part) for part in text.split(",")]


def parse_flags(arguments=None):
    parser = argparse.ArgumentParser(prog="actor.py", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True, help="an id of Gymnasium's, or module:function")
    parser.add_argument("--learner", type=address, help="host:port")
    parser.add_argument("--planners", type=addresses, help="host:port of each, comma-separated")
    parser.add_argument("--replay", type=addresses, default=[], help="host:port of each shard, in the learner's order")
    parser.add_argument("--certificates", metavar="DIR", default=os.environ.get("POMPC_CERTIFICATES", ""),
                        help="folder with ca.crt, tls.crt and tls.key of the role actor (deploy/certificates.sh), where "
                             "the run's connections are secured")
    parser.add_argument("--environments", type=whole_number(MAX_ENVIRONMENTS), default=1,
                        help="stepped at the same time (default: 1)")
    parser.add_argument("--evaluate", action="store_true", help="play the evaluations instead")
    parser.add_argument("--print-config", action="store_true", help="print what the run's config needs, and stop")
    parser.add_argument("--action-repeat", type=whole_number(100), default=1, help="for --print-config (default: 1)")
    parser.add_argument("--episode-steps", type=whole_number(10**9),
                        help="for --print-config, if the environment does not tell")
    parser.add_argument("--terminates", action="store_true",
                        help="for --print-config: episodes can end in true terminal states, beside the time limit")
    flags = parser.parse_args(arguments)
    wanted = [] if flags.print_config else ["learner", "planners"] + ([] if flags.evaluate else ["replay"])
    for name in wanted:
        if not getattr(flags, name):
            parser.error(f"--{name} is missing")
    return flags


def exit_within(seconds, status):
    """Ends the process with that status even if the environment's own code does not let it: threads that it started,
    its close(), what it registered with atexit."""
    def end():
        clients.log.say(f"actor.py: code of the environment has not ended within {seconds} s; it is not waited for")
        os._exit(status)
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def main():
    flags = parse_flags()
    if sys.stderr is not None:
        # As it is now, whatever the environment does with it.
        clients.log.stream = open(os.dup(2), "w", buffering=1, errors="backslashreplace")
    prepare_imports()
    try:
        (print_config if flags.print_config else play)(flags)
    except (Refused, Failed) as error:
        clients.log.say(f"actor.py: {' '.join(str(error).split())}")
        return 2 if isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    import_parts()
    result = 1
    try:
        result = main()
    finally:
        exit_within(EXIT_SECONDS, result)
    sys.exit(result)
