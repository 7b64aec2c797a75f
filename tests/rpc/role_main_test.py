"""What all roles' programs share, seen from outside: flags, signals, health check, exit status."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import DIRECT, FEW_THREADS, PROXIES, limit_threads

PROGRAM = sys.argv.pop(1)
TIMEOUT = 20


def limited(descriptors):
    """For preexec_fn: gives the program a soft and a hard limit of open file descriptors."""
    return (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)) if descriptors else None


def run(*flags, env=None, descriptors=None):
    return subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=TIMEOUT,
                          env={**os.environ, **(env or {})}, preexec_fn=limited(descriptors))


class Running:
    """The program, started and ready."""

    def __init__(self, *flags, descriptors=None, preexec_fn=None):
        self.process = subprocess.Popen([PROGRAM, *flags], stderr=subprocess.PIPE, text=True,
                                        preexec_fn=preexec_fn or limited(descriptors))
        self.lines = []
        while True:
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError("ended early: " + "".join(self.lines))
            self.lines.append(line)
            found = re.search(r"metrics on http://(\S+)/metrics", line)
            if found:
                self.http = found.group(1)
                break
        while self.get("/healthz") != "ok\n":
            pass

    def get(self, path):
        try:
            with DIRECT.open(f"http://{self.http}{path}", timeout=TIMEOUT) as reply:
                return reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def await_health(self, part):
        """Blocks until /healthz says what is given."""
        deadline = time.monotonic() + TIMEOUT
        while part not in (health := self.get("/healthz")):
            if time.monotonic() > deadline:
                raise AssertionError(f"health is {health!r}, not {part!r}")

    def metric(self, name):
        return int(float(re.search(rf"(?m)^{name} (\S+)$", self.get("/metrics"))[1]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


class RoleMainTest(unittest.TestCase):
    def test_help_teaches(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for part in ("Does nothing.", "--listen", "POMPC_LISTEN", "--metrics-listen",
                     "POMPC_METRICS_LISTEN", "--insecure", "--healthcheck", "Example:"):
            self.assertIn(part, result.stdout)

    def test_version(self):
        self.assertRegex(run("--version").stdout, r"^sample-role \d+\.\d+\.\d+\n$")

    def test_unknown_flag_is_named(self):
        result = run("--bogus")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--bogus", result.stderr)

    def test_bad_values_are_named(self):
        for flags, part in ((("--log-level", "loud"), "allowed: trace"),
                            (("--log-format", "xml"), "allowed: text, json"),
                            (("--listen", "here"), '"here"'),
                            (("--metrics-listen", "there"), '"there"')):
            result = run(*flags)
            self.assertEqual(result.returncode, 2, flags)
            self.assertIn(part, result.stderr.splitlines()[-1])

    def test_plaintext_beyond_loopback_is_refused(self):
        result = run("--listen", "0.0.0.0:0")
        self.assertEqual(result.returncode, 1)
        self.assertIn("--insecure", result.stderr.splitlines()[-1])

    def test_logs_are_json_on_request(self):
        result = run("--listen", "0.0.0.0:0", env={"POMPC_LOG_FORMAT": "json"})
        self.assertEqual(result.returncode, 1)
        lines = [json.loads(line) for line in result.stderr.splitlines()]
        self.assertGreater(len(lines), 1)
        self.assertEqual({line["role"] for line in lines}, {"sample-role"})
        self.assertRegex(lines[0]["source"], r"^common/rpc/role_main.cc:\d+$")
        self.assertEqual(lines[-1]["severity"], "CRITICAL")
        self.assertIn("--insecure", lines[-1]["message"])

    def test_integers_are_decimal(self):
        for value in ("010", "-1", "0x10", "+1", " 1", "1e3", "", "257", "0"):
            result = run(f"--threads={value}") if value else run("--threads", "")
            self.assertEqual(result.returncode, 2, value)
            self.assertIn(f'--threads or POMPC_THREADS: "{value}"; allowed: integer in decimal, 1 to 256',
                          result.stderr)
        result = run("--seed", "18446744073709551616")
        self.assertEqual(result.returncode, 2)
        self.assertIn("0 to 18446744073709551615", result.stderr)
        result = run(env={"POMPC_THREADS": "08"})
        self.assertEqual(result.returncode, 2)
        self.assertIn('POMPC_THREADS: "08"', result.stderr)

    def test_threads_that_the_system_refuses_are_told(self):
        # Ours fail one by one; gRPC's are counted before it starts, for a client alone as well.
        for flags in ((), ("--healthcheck", "--listen", "127.0.0.1:1")):
            for threads in FEW_THREADS:
                # The leak sanitizer would start a thread of its own at the end.
                result = subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=TIMEOUT,
                                        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                                        preexec_fn=limit_threads(threads))
                self.assertEqual(result.returncode, 1, (flags, threads, result))
                self.assertRegex(result.stderr.splitlines()[-1],
                                 "^sample-role: .*no thread can be started: .*ulimit -u", (flags, threads))

    def test_help_that_does_not_arrive_is_an_error(self):
        for flag in ("--help", "--version"):
            with open("/dev/full", "w") as full:
                result = subprocess.run([PROGRAM, flag], stdout=full, stderr=subprocess.PIPE, text=True,
                                        timeout=TIMEOUT)
            self.assertEqual(result.returncode, 1, result)
            self.assertIn("standard output: No space left", result.stderr)

    def test_closed_descriptors_do_no_harm(self):
        result = subprocess.run([PROGRAM, "--listen", "here"], timeout=TIMEOUT,
                                preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(result.returncode, 2)

    def test_flags_come_from_the_environment(self):
        result = run(env={"POMPC_LISTEN": "from-environment"})
        self.assertIn("from-environment", result.stderr.splitlines()[-1])

    def test_first_signal_stops_in_an_orderly_way(self):
        for number, reason in ((signal.SIGTERM, "told to end by SIGTERM"), (signal.SIGINT, "told to end by SIGINT"),
                               (signal.SIGHUP, "told to end by SIGHUP"), (signal.SIGUSR1, "told to end by SIGUSR1"),
                               (signal.SIGUSR2, "told to end by SIGUSR2"),
                               (signal.SIGXCPU, "CPU time limit (ulimit -t) reached")):
            with self.subTest(reason), Running() as role:
                role.process.send_signal(number)
                self.assertEqual(role.process.wait(TIMEOUT), 0)
                log = role.process.stderr.read()
                self.assertIn(f"{reason}: stopping", log)
                self.assertIn("ended: ok", log)

    def test_second_signal_stops_at_once(self):
        with Running("--hang") as role:
            role.process.send_signal(signal.SIGTERM)
            while role.get("/healthz") != "stopping\n":
                pass
            while role.process.poll() is None:  # At once it is an echo of the first.
                role.process.send_signal(signal.SIGTERM)
            self.assertEqual(role.process.wait(TIMEOUT), 128 + signal.SIGTERM)

    def test_nohup_keeps_the_process(self):
        with Running(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as role:
            role.process.send_signal(signal.SIGHUP)
            self.assertEqual(role.get("/healthz"), "ok\n")
            role.process.send_signal(signal.SIGTERM)
            self.assertEqual(role.process.wait(TIMEOUT), 0)
            self.assertIn("told to end by SIGTERM: stopping", role.process.stderr.read())

    def test_health_check_asks_the_running_process(self):
        with Running() as role:
            address = role.get("/address")
            self.assertEqual(run("--healthcheck", "--listen", address).returncode, 0)
            self.assertEqual(run("--healthcheck", "--listen", address, env=PROXIES).returncode, 0, "through a proxy")
        result = run("--healthcheck", "--listen", address)
        self.assertEqual(result.returncode, 1)
        self.assertIn(address, result.stderr)

    def test_health_check_is_not_content_with_another_role(self):
        with Running("--serves-as", "another") as role:
            address = role.get("/address")
            result = run("--healthcheck", "--listen", address)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{address} serves, but not as sample: is it another role", result.stderr)

    def test_busy_ports_are_named(self):
        with Running() as role:
            for flag, address in (("--listen", role.get("/address")), ("--metrics-listen", role.http)):
                result = run(flag, address)
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"cannot listen on {address}: Address already in use",
                              result.stderr.splitlines()[-1])

    def test_a_limit_of_descriptors_that_is_too_low_is_named(self):
        result = run(descriptors=(32, 32))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "sample-role: the limit of open file descriptors (ulimit -n) is 32; "
                                        "at least 64 are needed\n")
        with Running(descriptors=(64, 64)) as role:
            self.assertIn("(ulimit -n) is 64", "".join(role.lines))

    def test_the_limit_of_descriptors_is_raised(self):
        with Running(descriptors=(32, 1024)) as role:
            self.assertEqual(role.metric("process_max_fds"), 1024)
            self.assertNotIn("ulimit", "".join(role.lines))

    def test_more_clients_than_descriptors_are_survived(self):
        limit = 128
        with Running(descriptors=(limit, limit)) as role:
            address = role.get("/address")
            host, port = address.split(":")
            clients = [socket.create_connection((host, int(port))) for _ in range(3 * limit)]
            role.await_health("refuses connections")
            # Descriptors are left for what matters.
            self.assertLess(role.metric("process_open_fds"), limit - 8)
            result = run("--healthcheck", "--listen", address)
            self.assertEqual(result.returncode, 1)
            for client in clients:
                client.close()
            role.await_health("ok\n")
            result = run("--healthcheck", "--listen", address)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_metrics_say_what_runs(self):
        with Running() as role:
            self.assertRegex(role.get("/metrics"), r'pompc_build_info{role="sample-role",version="')


if __name__ == "__main__":
    unittest.main(verbosity=2)
