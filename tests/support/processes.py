"""Processes of a run on loopback ports, for tests."""

import collections
import ctypes
import os
import random
import re
import resource
import signal
import socket
import subprocess
import urllib.request


# For pages on loopback, which no proxy has.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# A variable for each way to name a proxy, where nobody listens: what goes through one does not arrive.
PROXIES = {name: "http://127.0.0.1:9" for lower in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
           for name in (lower, lower.upper())} | {"no_proxy": "", "NO_PROXY": ""}

# Numbers of threads that do not suffice for any program with gRPC. Other processes of a user count against the limit, so
# all but the first are for root, who can be somebody else.
FEW_THREADS = (1, 2, 4, 5, 6, 8, 10) if os.getuid() == 0 else (1,)


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def die_with_parent():
    """For preexec_fn: the program is killed when the thread that started it ends, however that comes."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_threads(threads):
    """For preexec_fn: the program may have so many."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
        if os.getuid() == 0:  # whom no limit holds
            os.setuid(64321)

    return limit


def free_ports(count):
    """Ports nobody listens on; held together until all are chosen, so that they differ. They lie below those that the
    system gives to outgoing connections, one of which could take a port before its server does."""
    sockets = []
    for port in random.sample(range(20000, 30000), 1000):
        if len(sockets) == count:
            break
        try:
            sockets.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            pass
    assert len(sockets) == count, "no free ports"
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Process:
    """One of pompc's programs with a metrics page of its own; its log is NAME.log in the folder."""

    def __init__(self, name, log_folder, program, *arguments, preexec_fn=None):
        (port,) = free_ports(1)
        self.preexec_fn = preexec_fn
        self.name, self.log = name, log_folder / f"{name}.log"
        self.metrics_url = f"http://127.0.0.1:{port}/metrics"
        self.command = [str(program), "--metrics-listen", f"127.0.0.1:{port}", *arguments]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                          preexec_fn=self.preexec_fn)

    def kill(self):
        self.popen.kill()
        self.popen.wait()

    def scrape(self):
        """The page's text; empty while the process cannot answer."""
        try:
            with DIRECT.open(self.metrics_url, timeout=5) as page:
                return page.read().decode()
        except OSError:
            return ""

    def metrics(self):
        """name -> {labels: value}."""
        values = collections.defaultdict(dict)
        for line in self.scrape().splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match:
                values[match[1]][match[2] or ""] = float(match[3])
        return values

    def total(self, metric):
        return sum(self.metrics()[metric].values())
