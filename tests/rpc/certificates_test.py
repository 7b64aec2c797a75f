#!/usr/bin/env python3
"""deploy/certificates.sh, and what every role's program does with --certificates, --insecure and --metrics-token-file.
Usage: certificates_test.py SAMPLE_ROLE"""

import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from needs import needs
import access
import certificates
from processes import DIRECT, free_ports

needs("grpc")
import grpc

PROGRAM = sys.argv.pop(1)
TIMEOUT = 30
HEALTH = "/grpc.health.v1.Health/Check"


class Running:
    """The program with these flags; its log so far is in `log`."""

    def __init__(self, case, *flags, host="127.0.0.1"):
        rpc, http = free_ports(2)
        self.address, self.http = f"{host}:{rpc}", f"127.0.0.1:{http}"
        path = pathlib.Path(tempfile.mkstemp(dir=case.folder)[1])
        with open(path, "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "--metrics-listen", self.http, "--listen", self.address, *flags], stderr=log)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)
        self.log_path = path
        deadline = time.monotonic() + TIMEOUT
        while self.get("/healthz")[0] != 200:
            assert time.monotonic() < deadline and self.process.poll() is None, self.log()

    def log(self):
        return self.log_path.read_text()

    def get(self, path, token=None):
        request = urllib.request.Request(f"http://{self.http}{path}")
        if token is not None:
            request.add_header("Authorization", token)
        try:
            with DIRECT.open(request, timeout=TIMEOUT) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refused(self, *flags):
        """What the program says when it does not start."""
        done = subprocess.run([PROGRAM, "--log-level", "off", *flags], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr


class DocumentationTest(unittest.TestCase):
    def test_the_table_says_what_the_methods_say(self):
        declared = access.declared()
        self.assertEqual([method for method, callers in declared.items() if not callers], [], "methods without callers")
        self.assertEqual(access.documented(), declared)


class ScriptTest(Case):
    def script(self, *arguments):
        return subprocess.run([certificates.SCRIPT, *map(str, arguments)], capture_output=True, text=True,
                              timeout=TIMEOUT)

    def test_keys_are_for_their_owner_alone(self):
        out = certificates.make(self.folder / "c")
        keys = [out / "ca.key", *(out / role / "tls.key" for role in certificates.ROLES)]
        for key in keys:
            self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600, key)
        self.assertFalse(any((out / role / "ca.key").exists() for role in certificates.ROLES))

    def test_again_it_renews_and_keeps_ca_and_keys(self):
        out = certificates.make(self.folder / "c", "--days", "30")
        kept = {name: (out / name).read_bytes() for name in ("ca.crt", "ca.key", "actor/tls.key", "replay/tls.crt")}
        before = (out / "actor" / "tls.crt").read_bytes()
        certificates.make(out, "--role", "actor")
        self.assertNotEqual((out / "actor" / "tls.crt").read_bytes(), before)
        self.assertEqual({name: (out / name).read_bytes() for name in kept}, kept)
        self.assertEqual(list(out.rglob("*.??????")), [], "nothing half-written is left")

    def test_check_tells_what_expires(self):
        out = certificates.make(self.folder / "c", "--days", "30")
        self.assertEqual(self.script(out, "--check").returncode, 0)
        soon = self.script(out, "--check", "--days", "31")
        self.assertEqual((soon.returncode, soon.stdout.count("EXPIRES")), (1, len(certificates.ROLES)))
        (out / "replay" / "tls.crt").unlink()
        missing = self.script(out, "--check", "--role", "replay")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("missing", missing.stdout)

    def test_bad_arguments_are_named(self):
        for arguments, word in (((), "folder"), (("a", "b"), "'b'"), (("a", "--days", "0"), "--days"),
                                (("a", "--role", "king"), "king"), (("a", "--days"), "--days"), (("a", "-x"), "-x")):
            done = self.script(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(word, done.stderr)
        self.assertIn("deploy/certificates.sh OUT_DIR", self.script("--help").stdout)

    def test_a_ca_without_its_key_is_left_alone(self):
        out = certificates.make(self.folder / "c")
        (out / "ca.key").unlink()
        done = self.script(out)
        self.assertEqual(done.returncode, 1)
        self.assertIn("ca.key", done.stderr)
        self.assertFalse((out / "ca.key").exists())


class ProgramTest(Case):
    def setUp(self):
        super().setUp()
        self.certificates = certificates.make(self.folder / "c")

    def call(self, server, own, ca=None, path=HEALTH):
        """The code and the words of a call."""
        with certificates.channel(grpc, server.address, ca or self.certificates, own, "replay") as channel:
            try:
                channel.unary_unary(path)(b"", timeout=TIMEOUT)
                return "OK", ""
            except grpc.RpcError as error:
                return error.code().name, error.details()

    def test_certificates_that_cannot_be_used_are_named(self):
        other = certificates.make(self.folder / "other")
        expired = certificates.make_expired(certificates.make(self.folder / "expired"), "actor")
        for role, file, content, words in (
                ("actor", "tls.crt", None, "No such file"), ("actor", "tls.crt", b"?", "no certificate"),
                ("actor", "tls.key", b"", "no private key"),
                ("actor", "tls.key", (other / "actor" / "tls.key").read_bytes(), "not the key of tls.crt"),
                ("actor", "ca.crt", (other / "ca.crt").read_bytes(), "not accepted by ca.crt")):
            with self.subTest(words):
                path = self.certificates / role / file
                good = path.read_bytes()
                path.unlink()
                if content is not None:
                    path.write_bytes(content)
                said = self.refused("--certificates", str(self.certificates / role))
                self.assertIn(words, said)
                self.assertIn(file, said)
                path.write_bytes(good)
        self.assertIn("expired", self.refused("--certificates", str(expired)))

    def test_plaintext_beyond_loopback_needs_insecure_and_is_told_loudly(self):
        said = self.refused("--listen", "0.0.0.0:0")
        for word in ("--certificates", "deploy/certificates.sh", "--insecure"):
            self.assertIn(word, said)
        self.assertIn("--metrics-token-file", self.refused("--metrics-listen", "0.0.0.0:0"))
        server = Running(self, "--insecure", host="0.0.0.0")
        self.assertRegex(server.log(), r" W .*INSECURE: 0\.0\.0\.0:\d+ takes calls in plaintext")

    def test_clients_need_a_certificate_of_the_ca(self):
        server = Running(self, "--certificates", str(self.certificates / "replay"))
        self.assertEqual(self.call(server, self.certificates / "actor")[0], "OK")
        other = certificates.make(self.folder / "other")
        expired = certificates.make_expired(self.certificates, "planner")
        for name, own in (("none", None), ("another CA's", other / "actor"), ("an expired one", expired)):
            self.assertEqual(self.call(server, own)[0], "UNAVAILABLE", name)
        self.assertEqual(self.call(server, other / "actor", ca=other)[0], "UNAVAILABLE", "a server of another CA")
        with grpc.insecure_channel(server.address) as plaintext:
            with self.assertRaises(grpc.RpcError):
                plaintext.unary_unary(HEALTH)(b"", timeout=TIMEOUT)
        self.assertEqual(self.call(server, self.certificates / "actor")[0], "OK")

    def test_methods_that_nobody_may_call_are_refused(self):
        server = Running(self, "--certificates", str(self.certificates / "replay"))
        code, words = self.call(server, self.certificates / "actor", path="/pompc.proto.ReplayService/Grant")
        self.assertEqual(code, "PERMISSION_DENIED")
        self.assertIn("/pompc.proto.ReplayService/Grant", words)
        self.assertIn("actor", words)

    def test_the_health_check_uses_the_process_own_certificates(self):
        server = Running(self, "--certificates", str(self.certificates / "replay"))
        check = lambda *flags: subprocess.run([PROGRAM, "--healthcheck", "--listen", server.address, *flags],
                                              capture_output=True, timeout=TIMEOUT).returncode
        self.assertEqual(check("--certificates", str(self.certificates / "replay")), 0)
        self.assertEqual(check(), 1)

    def test_expiry_is_a_metric(self):
        server = Running(self, "--certificates", str(self.certificates / "replay"))
        expiry = lambda: int(float(re.search(r"(?m)^pompc_certificate_expiry_timestamp_seconds (\S+)$",
                                             server.get("/metrics")[1])[1]))
        self.assertAlmostEqual(expiry(), time.time() + 90 * 86400, delta=120)
        certificates.make(self.certificates, "--role", "replay", "--days", "30")
        self.assertAlmostEqual(expiry(), time.time() + 30 * 86400, delta=120)
        (self.certificates / "replay" / "tls.crt").write_text("?")
        self.assertAlmostEqual(expiry(), time.time() + 30 * 86400, delta=120)
        plain = Running(self)
        self.assertNotIn("certificate", plain.get("/metrics")[1])

    def serial(self, server):
        """Of the certificate that the server shows now."""
        own = self.certificates / "actor"
        shown = subprocess.run(["openssl", "s_client", "-connect", server.address, "-CAfile",
                                self.certificates / "ca.crt", "-cert", own / "tls.crt", "-key", own / "tls.key"],
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT).stdout
        return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True,
                              timeout=TIMEOUT).stdout

    def test_rotation_under_load_drops_no_call(self):
        server = Running(self, "--certificates", str(self.certificates / "replay"))
        before, stop, failures, calls = self.serial(server), threading.Event(), [], [0, 0]
        self.assertIn(b"serial=", before)

        def load(index, own_channel):
            with certificates.channel(grpc, server.address, self.certificates, self.certificates / "actor",
                                      "replay") as kept:
                while not stop.is_set():
                    try:
                        if own_channel:
                            kept.unary_unary(HEALTH)(b"", timeout=TIMEOUT)
                        else:
                            with certificates.channel(grpc, server.address, self.certificates,
                                                      self.certificates / "actor", "replay") as new:
                                new.unary_unary(HEALTH)(b"", timeout=TIMEOUT)
                        calls[index] += 1
                    except (grpc.RpcError, OSError) as error:
                        failures.append(error)

        threads = [threading.Thread(target=load, args=(index, index == 0)) for index in range(2)]
        for thread in threads:
            thread.start()
        certificates.make(self.certificates)
        deadline = time.monotonic() + TIMEOUT
        while self.serial(server) == before and time.monotonic() < deadline:
            threading.Event().wait(0.2)
        new = self.serial(server)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertNotEqual(new, before, "the server goes on with the old certificate")
        self.assertEqual(failures, [])
        self.assertGreater(min(calls), 20)

    def test_pages_need_the_token(self):
        file = self.folder / "token"
        file.write_text("s3cret-word\n")
        server = Running(self, "--metrics-token-file", str(file))
        self.assertEqual(server.get("/healthz")[0], 200)
        for path in ("/metrics", "/address", "/nothing"):
            for token in (None, "", "Bearer", "Bearer s3cret-wor", "Bearer s3cret-word2", "Basic s3cret-word",
                          "s3cret-word"):
                self.assertEqual(server.get(path, token)[0], 401, (path, token))
        self.assertEqual(server.get("/metrics", "Bearer s3cret-word")[0], 200)
        self.assertEqual(server.get("/address", "bearer  s3cret-word ")[0], 200)
        for content in ("", "two words", "\x01"):
            file.write_text(content)
            self.assertIn("--metrics-token-file", self.refused("--metrics-token-file", str(file)))


if __name__ == "__main__":
    unittest.main()
