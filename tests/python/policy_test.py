#!/usr/bin/env python3
"""pompc.load_policy computes what pompc does, with NumPy alone, and refuses what is damaged.
Usage: policy_test.py BUILD_FOLDER"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

try:
    import numpy
except ImportError as error:
    print(f"skipped: {error} (Debian: python3-numpy)")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))
import pompc
from pompc import Refused, tensor_file
from pompc.policy import parse_config

BUILD = pathlib.Path()
WINDOWS, HORIZON, OBSERVATION, ACTION = 50, 3, 5, 2
UPDATES = 20


def batch(seed, squashed):
    """Inputs of `pompc model probe`."""
    random = numpy.random.default_rng(seed)

    def normal(*shape):
        return random.standard_normal(shape).astype(numpy.float32)

    def uniform(low, high, *shape):
        return random.uniform(low, high, shape).astype(numpy.float32)
    b, h, a = WINDOWS, HORIZON, ACTION
    return {"observations": 3 * normal(b, h + 1, OBSERVATION), "actions": uniform(-1, 1, b, h, a),
            "rewards": uniform(-1, 2, b, h), "terminated": numpy.zeros((b, h), bool),
            "plan_mean": uniform(-1, 1, b, h + 1, a), "plan_std": uniform(0.1, 2, b, h + 1, a),
            "has_plan": numpy.ones((b, h + 1), bool), "target_noise": normal(b, h, a),
            "target_members": numpy.array([0, 1]), "policy_noise": normal(b, h, a),
            "policy_members": numpy.array([1, 0]), **({"prior_noise": normal(b, h, a)} if squashed else {})}


class PolicyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def checkpoint(self, *overrides):
        checkpoints = self.folder / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        # A higher rate brings the networks away from their beginnings, where half of them are zero.
        subprocess.run([BUILD / "tests" / "learner_frozen_run", checkpoints, str(UPDATES), "0",
                        "learner.learning_rate=0.003", *overrides], check=True, capture_output=True, timeout=100)
        return checkpoints / f"update-{UPDATES:09d}"

    def test_actions_are_those_of_pompc_for_both_forms_of_the_policy(self):
        for form in ("CLIPPED_GAUSSIAN", "TANH_GAUSSIAN"):
            with self.subTest(form):
                checkpoint = self.checkpoint(f"model.policy_form={form}", "model.log_std_max=2")
                inputs = batch(7, form == "TANH_GAUSSIAN")
                probe, out = self.folder / "batch.safetensors", self.folder / "out.safetensors"
                tensor_file.save(probe, inputs)
                done = subprocess.run([BUILD / "bin" / "pompc", "model", "probe", "--checkpoint", checkpoint, "--like",
                                       probe, "--out", out], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                theirs = tensor_file.load(out)
                policy = pompc.load_policy(checkpoint)
                self.assertEqual((policy.observation_size, policy.action_size), (OBSERVATION, ACTION))
                latents = policy.encode(inputs["observations"])
                mean, std = policy.gaussian(theirs["latents"])
                acted = policy.act(inputs["observations"][:, 0], inputs["policy_noise"][:, 0])
                for name, ours in (("latents", latents[:, 0]), ("next_latents", latents[:, 1:]), ("policy_mean", mean),
                                   ("policy_log_std", numpy.log(std)), ("policy_actions", acted)):
                    expected = theirs[name][:, 0] if name in ("latents", "policy_actions") else theirs[name]
                    self.assertLess(numpy.abs(ours - expected).max(), 1e-5, name)
                    self.assertGreater(numpy.abs(expected).max(), 1e-2, name)
                one = policy.act(inputs["observations"][3, 0])
                self.assertEqual((one.shape, one.dtype), ((ACTION,), numpy.float32))
                self.assertLessEqual(numpy.abs(acted).max(), 1)

    def test_the_best_checkpoint_of_a_run_is_loaded_else_the_newest(self):
        newest = self.checkpoint()
        older = sorted(newest.parent.glob("update-*"))[0]
        self.assertNotEqual(older, newest)
        self.assertTrue((pompc.load_policy(self.folder).act(numpy.ones(OBSERVATION))
                         == pompc.load_policy(newest).act(numpy.ones(OBSERVATION))).all())
        (newest.parent / "best").symlink_to(older.name)
        self.assertTrue((pompc.load_policy(self.folder).act(numpy.ones(OBSERVATION))
                         == pompc.load_policy(older).act(numpy.ones(OBSERVATION))).all())

    def test_what_is_damaged_or_none_is_refused(self):
        checkpoint = self.checkpoint()
        for folder in (self.folder / "nothing", self.folder):
            if folder == self.folder:
                shutil.move(checkpoint, self.folder / "kept")
                shutil.rmtree(checkpoint.parent)
            with self.assertRaisesRegex(Refused, "is neither a checkpoint nor the directory of a run"):
                pompc.load_policy(folder)
        checkpoint = self.folder / "kept"
        tensors = checkpoint / "updater.safetensors"
        good = tensors.read_bytes()
        for bad in (good[:-4], good[:-1] + bytes([good[-1] ^ 1])):
            tensors.write_bytes(bad)
            with self.assertRaisesRegex(Refused, "updater.safetensors is damaged"):
                pompc.load_policy(checkpoint)
        tensors.unlink()
        with self.assertRaisesRegex(Refused, "cannot be read"):
            pompc.load_policy(checkpoint)
        tensors.write_bytes(good)
        with self.assertRaisesRegex(Refused, r"shape \(4,\); the policy's have 5 numbers"):
            pompc.load_policy(checkpoint).act(numpy.zeros(4))

    def test_files_of_another_form_are_refused_though_their_checksums_hold(self):
        checkpoint = self.checkpoint()
        good = {name: (checkpoint / name).read_bytes() for name in ("state.json", "updater.safetensors")}
        config = json.loads(good["state.json"])["config"]
        for name, content in (("state.json", b"[]"), ("state.json", b'{"format": 1}'),
                              ("state.json", b'{"format": 1, "config": "}"}'),
                              ("state.json", b'{"format": 1, "config": "seed: 1"}'),
                              ("state.json", json.dumps({"format": 2, "config": config}).encode()),
                              ("updater.safetensors", b""), ("updater.safetensors", good["updater.safetensors"][:1000])):
            files = {**good, name: content}
            for each, data in files.items():
                (checkpoint / each).write_bytes(data)
            (checkpoint / "checksums.json").write_text(json.dumps({"files": {
                each: {"bytes": len(data), "crc32": zlib.crc32(data)} for each, data in files.items()}}))
            with self.subTest(content[:40]), self.assertRaises(Refused):
                pompc.load_policy(checkpoint)
        for checksums in ('[]', '{"files": null}', '{"files": {}}'):
            (checkpoint / "checksums.json").write_text(checksums)
            with self.subTest(checksums), self.assertRaises(Refused):
                pompc.load_policy(checkpoint)

    def test_no_action_is_made_of_what_is_no_observation(self):
        policy = pompc.load_policy(self.checkpoint())
        observation = numpy.ones(OBSERVATION)
        for given in ("abc", numpy.ones(OBSERVATION) * numpy.nan, [numpy.inf] * OBSERVATION, 1.0):
            with self.subTest(given), self.assertRaises(Refused):
                policy.act(given)
        # One that broadcasts would give several actions for one observation.
        for noise in (numpy.ones((3, ACTION)), numpy.ones(ACTION + 1), [numpy.nan] * ACTION):
            with self.subTest(noise), self.assertRaises(Refused):
                policy.act(observation, noise)
        with self.assertRaisesRegex(Refused, "a latent state has shape"):
            policy.gaussian([1.0, 2.0])
        self.assertEqual(policy.act(numpy.zeros((0, OBSERVATION))).shape, (0, ACTION))

    def test_configs_are_read(self):
        text = 'seed: 7\nenv {\n  task: "a: b"\n  spec {\n    terminates: false\n  }\n}\nstop {\n}\n'
        self.assertEqual(parse_config(text), {"seed": "7", "env.task": "a: b", "env.spec.terminates": "false"})

    def test_numpy_is_all_that_is_needed(self):
        checkpoint = self.checkpoint()
        program = ("import sys; sys.modules.update({'grpc': None, 'google': None}); import numpy, pompc; "
                   f"print(pompc.load_policy({str(checkpoint)!r}).act(numpy.zeros({OBSERVATION})).shape)")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
                              env={"PYTHONPATH": str(HERE.parent.parent / "python")})
        self.assertEqual(done.stdout, f"({ACTION},)\n", done.stderr)


class TensorFileTest(unittest.TestCase):
    def test_what_is_written_is_read_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file.safetensors"
            arrays = {"a": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "b": numpy.array([True, False]),
                      "c": numpy.zeros((0, 4), numpy.uint64), "d": numpy.array(5)}
            tensor_file.save(path, arrays, {"format": "x"})
            back = tensor_file.load(path)
            self.assertEqual(list(back), list(arrays))
            for name, array in arrays.items():
                self.assertEqual((back[name].tolist(), back[name].dtype), (array.tolist(), array.dtype))
            content = path.read_bytes()
            header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
            self.assertEqual(header["__metadata__"], {"format": "x"})

    def test_what_cannot_be_written_or_read_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file.safetensors"
            with self.assertRaisesRegex(TypeError, "^words is an array of <U1; allowed: float64, float32, "):
                tensor_file.save(path, {"numbers": 1.0, "words": ["a", "b"]})
            self.assertFalse(path.exists())
            tensor_file.save(path, {"x": numpy.arange(4.0)})
            whole = path.read_bytes()
            for content in (b"", whole[:12], whole[:-8], b"\x02" + bytes(7) + b"[]", whole.replace(b"F64", b"F99")):
                path.write_bytes(content)
                with self.assertRaisesRegex(ValueError, "^.*/file.safetensors is no whole safetensors file: "):
                    tensor_file.load(path)

    def test_bfloat16_is_the_upper_half_of_a_float32(self):
        numbers = numpy.array([1.0, -2.5, 3e38, 0.0], numpy.float32)
        data = (numbers.view(numpy.uint32) >> 16).astype("<u2").tobytes()
        header = json.dumps({"x": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "file.safetensors"
            path.write_bytes(len(header).to_bytes(8, "little") + header + data)
            read = tensor_file.load(path)["x"]
        self.assertEqual(read.dtype, numpy.float32)
        self.assertLess(numpy.abs(read - numbers).max() / 3e38, 2**-7)
        self.assertEqual(read[:2].tolist(), [1.0, -2.5])


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1))
    unittest.main()
