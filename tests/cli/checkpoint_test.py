"""pompc checkpoint and pompc model: numbers leave a checkpoint, come back, and are refused where they do not fit."""

import concurrent.futures
import glob
import json
import os
import subprocess
import sys
import tempfile
import unittest
import zlib

from program import BUILD, output, run

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "scripts"))

FROZEN_RUN = os.path.join(BUILD, "tests", "learner_frozen_run")

try:
    import numpy
except ImportError:
    print("skipped: NumPy is not installed (Debian: python3-numpy)")
    sys.exit(77)

import tensor_file  # pylint: disable=wrong-import-position


class CheckpointTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        checkpoints = os.path.join(cls.folder.name, "run", "checkpoints")
        subprocess.run([FROZEN_RUN, checkpoints, "7", "0", "po_mpc.lambda=0.5"], check=True, capture_output=True,
                       timeout=100)
        cls.checkpoint = os.path.join(checkpoints, "update-000000007")
        cls.exported = os.path.join(cls.folder.name, "weights.safetensors")
        output("checkpoint", "export", cls.checkpoint, "--out", cls.exported)

    def path(self, name):
        return os.path.join(self.folder.name, self.id().rpartition(".")[2] + "-" + name)

    def arrays(self):
        return tensor_file.load(self.exported)

    def write(self, arrays):
        path = self.path("changed.safetensors")
        tensor_file.save(path, arrays)
        return path

    def refused(self, arguments, *texts, status=2):
        done = run(*arguments)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)

    def import_refused(self, file, *texts, status=2):
        out = self.path("out")
        self.refused(["checkpoint", "import", file, "--like", self.checkpoint, "--out", out], *texts, status=status)
        self.assertFalse(os.path.exists(out))

    def test_inspect_tells_what_it_is(self):
        text = output("checkpoint", "inspect", self.checkpoint)
        for part in ("run          frozen", "updates            7", "rows             107", "checksums    hold",
                     "po_mpc.lambda", "= 0.5", "default 1", "q.0.weight", "(3, 18, 32)", "adam.model", "scale.kl"):
            self.assertIn(part.replace(" ", ""), text.replace(" ", ""))

    def test_inspect_shows_the_settings_that_someone_chose(self):
        self.assertIn("env.spec.observation_size", output("checkpoint", "inspect", self.checkpoint))
        # A built-in task fills in env.spec itself.
        changed = self.path("changed")
        subprocess.run(["cp", "-r", self.checkpoint, changed], check=True)
        with open(os.path.join(changed, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
        state["config"] = state["config"].replace('"external"', '"cheetah-run"')
        with open(os.path.join(changed, "state.json"), "w", encoding="utf-8") as file:
            json.dump(state, file)
        self.reseal(changed)
        text = output("checkpoint", "inspect", changed)
        self.assertIn("env.task", text)
        self.assertNotIn("env.spec", text)

    def test_inspect_takes_a_run(self):
        run_dir = os.path.dirname(os.path.dirname(self.checkpoint))
        with open(os.path.join(run_dir, "config.textproto"), "w", encoding="utf-8") as file:
            file.write("seed: 1\n")
        self.assertIn(self.checkpoint, output("checkpoint", "inspect", run_dir))
        self.refused(["evaluate", "--checkpoint", run_dir], run_dir + " is a run directory", "--run-dir")

    def test_damage_is_found(self):
        damaged = self.path("damaged")
        subprocess.run(["cp", "-r", self.checkpoint, damaged], check=True)
        with open(os.path.join(damaged, "updater.safetensors"), "r+b") as file:
            file.seek(5000)
            file.write(b"\xff\xff")
        self.refused(["checkpoint", "inspect", damaged], "updater.safetensors is corrupt", status=1)
        self.refused(["evaluate", "--checkpoint", damaged], "updater.safetensors is corrupt", status=1)

    def test_inspect_where_nothing_is(self):
        self.refused(["checkpoint", "inspect", self.path("x")], self.path("x"), "neither", status=1)

    def test_another_format_says_what_to_do(self):
        other = self.path("other")
        subprocess.run(["cp", "-r", self.checkpoint, other], check=True)
        os.remove(os.path.join(other, "checksums.json"))
        state = os.path.join(other, "state.json")
        with open(state, encoding="utf-8") as file:
            content = json.load(file)
        content["format"] = 99
        with open(state, "w", encoding="utf-8") as file:
            json.dump(content, file)
        with open(os.path.join(other, "checksums.json"), "w", encoding="utf-8") as file:
            json.dump({"format": 1, "files": {}}, file)
        self.refused(["checkpoint", "inspect", other], "format 99", "newer", "pompc checkpoint export", status=1)

    def test_arrays_have_the_documented_names_and_types(self):
        arrays = self.arrays()
        self.assertEqual(arrays["encoder.0.weight"].shape, (5, 128))
        self.assertEqual(arrays["q.2.bias"].shape, (3, 101))
        self.assertEqual(arrays["updater.update_count"].dtype, numpy.int64)
        self.assertEqual(int(arrays["updater.update_count"]), 7)
        self.assertTrue(all(array.dtype in (numpy.float32, numpy.int64) for array in arrays.values()))

    def test_what_another_writer_writes_makes_the_same_checkpoint(self):
        # The package safetensors orders the tensors by the size of their numbers and by name.
        arrays = dict(sorted(self.arrays().items(), key=lambda item: (-item[1].itemsize, item[0])))
        out = self.path("out")
        output("checkpoint", "import", self.write(arrays), "--like", self.checkpoint, "--out", out)
        names = sorted(os.listdir(self.checkpoint))
        self.assertEqual(sorted(os.listdir(out)), names)
        with open(os.path.join(out, "updater.safetensors"), "rb") as mine, \
                open(os.path.join(self.checkpoint, "updater.safetensors"), "rb") as theirs:
            self.assertEqual(mine.read(), theirs.read())
        output("checkpoint", "inspect", out)

    def test_changed_numbers_arrive(self):
        arrays = self.arrays()
        arrays["policy.2.bias"] = arrays["policy.2.bias"] + 1
        arrays["updater.update_count"] = numpy.int64(9)
        out, again = self.path("out"), self.path("again.safetensors")
        output("checkpoint", "import", self.write(arrays), "--like", self.checkpoint, "--out", out + "/")
        output("checkpoint", "export", out, "--out", again)
        exported = tensor_file.load(again)
        self.assertEqual(exported.keys(), arrays.keys())
        for name, array in arrays.items():
            numpy.testing.assert_array_equal(exported[name], array, err_msg=name)
        self.assertIn("updates9", output("checkpoint", "inspect", out).replace(" ", ""))

    def test_missing_and_unknown_arrays_are_named(self):
        arrays = self.arrays()
        arrays["policy.9.bias"] = arrays.pop("policy.2.bias")
        del arrays["updater.seed"]
        self.import_refused(self.write(arrays), "2 missing: policy.2.bias, updater.seed", "1 unknown: policy.9.bias")
        # Whatever a name is, the error is one line.
        self.import_refused(self.write(self.arrays() | {"a\nb": numpy.zeros(1)}), "1 unknown: a b")

    def test_wrong_shapes_and_types_are_named(self):
        arrays = self.arrays()
        arrays["q.0.weight"] = arrays["q.0.weight"][:2]
        arrays["encoder.0.bias"] = arrays["encoder.0.bias"].astype(numpy.float64)
        self.import_refused(self.write(arrays), "q.0.weight is float32 (2, 18, 32), must be float32 (3, 18, 32)",
                            "encoder.0.bias is float64")

    def test_numbers_that_are_not_finite_are_refused(self):
        arrays = self.arrays()
        arrays["dynamics.0.bias"][3] = numpy.nan
        self.import_refused(self.write(arrays), "dynamics.0.bias, which must be finite")

    def test_numbers_that_no_update_makes_are_refused(self):
        for name, change, rule in (("adam.model.v", -1e-6, "must be 0 or more"), ("adam.prior.v", -numpy.inf, "must be finite"),
                                   ("scale.value", 0, "must be above 0"), ("scale.kl", -2, "must be above 0"),
                                   ("updater.update_count", -3, "must be a whole number from 0"),
                                   ("updater.adam_steps.policy", -1, "must be a whole number from 0"),
                                   ("updater.prior_trained", 7, "must be 0 or 1"), ("updater.format", 2, "must be 1")):
            arrays = self.arrays()
            arrays[name] = arrays[name].copy()
            arrays[name].flat[0] = change
            self.import_refused(self.write(arrays), name, rule)
        arrays = self.arrays() | {"updater.update_count": numpy.float64(1.5)}
        self.import_refused(self.write(arrays), "updater.update_count is float64 (), must be int64 ()")
        # Together they are told in one line.
        arrays = self.arrays()
        arrays["scale.kl"] = numpy.float32(0)
        arrays["updater.adam_steps.model"] = numpy.int64(-9)
        self.import_refused(self.write(arrays), "scale.kl", "updater.adam_steps.model is -9")

    def reseal(self, folder):
        """Makes the checksums those of the files as they are."""
        files = {}
        for name in os.listdir(folder):
            if name != "checksums.json":
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                files[name] = {"bytes": len(content), "crc32": zlib.crc32(content)}
        with open(os.path.join(folder, "checksums.json"), "w", encoding="utf-8") as file:
            json.dump({"format": 1, "files": files}, file)

    def test_a_checkpoint_that_cannot_be_ours_is_refused_by_all_that_load_it(self):
        changed = self.path("changed")
        subprocess.run(["cp", "-r", self.checkpoint, changed], check=True)
        weights = os.path.join(changed, "updater.safetensors")
        with open(weights, "rb") as file:
            content = bytearray(file.read())
        length = int.from_bytes(content[:8], "little")
        begin = 8 + length + json.loads(content[8:8 + length])["adam.policy.v"]["data_offsets"][0]
        content[begin:begin + 4] = numpy.float32(-1).tobytes()
        with open(weights, "wb") as file:
            file.write(content)
        self.reseal(changed)
        for command in (["checkpoint", "inspect", changed], ["evaluate", "--checkpoint", changed],
                        ["checkpoint", "export", changed, "--out", self.path("x.safetensors")]):
            self.refused(command, changed, "adam.policy.v", "must be 0 or more")

    def test_counters_of_state_json_are_checked(self):
        changed = self.path("changed")
        subprocess.run(["cp", "-r", self.checkpoint, changed], check=True)
        with open(os.path.join(changed, "state.json"), encoding="utf-8") as file:
            whole = json.load(file)
        for name, value in (("updates", -7), ("episodes", 1.5), ("learner_incarnation", "1"), ("elapsed_seconds", -1.0)):
            with open(os.path.join(changed, "state.json"), "w", encoding="utf-8") as file:
                json.dump(whole | {name: value}, file)
            self.reseal(changed)
            self.refused(["checkpoint", "inspect", changed], "state.json", f'"{name}" is', "0 or more", status=1)

    def test_files_that_cannot_be_used_are_named(self):
        archive = self.path("archive.npz")
        numpy.savez(archive, x=numpy.zeros(3))
        self.import_refused(archive, archive, "not a safetensors file", status=1)
        half = self.path("half.safetensors")
        tensor_file.save(half, {"x": numpy.zeros(3, numpy.float16)})
        self.import_refused(half, half, '"x": unknown dtype "F16"', status=1)
        cut = self.path("cut.safetensors")
        with open(self.exported, "rb") as whole, open(cut, "wb") as file:
            file.write(whole.read()[:-100])
        self.import_refused(cut, cut, status=1)
        self.import_refused(self.path("none"), self.path("none"), status=1)

    def test_nothing_is_overwritten(self):
        before = os.listdir(self.checkpoint)
        self.refused(["checkpoint", "export", self.checkpoint, "--out", ""], "empty name")
        self.refused(["checkpoint", "import", self.exported, "--like", self.checkpoint, "--out", ""], "empty name")
        self.refused(["checkpoint", "import", self.exported, "--like", self.checkpoint, "--out", self.checkpoint],
                     "exists already", status=1)
        self.assertEqual(os.listdir(self.checkpoint), before)

    def test_of_imports_to_one_place_one_makes_it_whole(self):
        out = self.path("same")
        command = ["checkpoint", "import", self.exported, "--like", self.checkpoint, "--out", out]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            done = list(pool.map(lambda _: run(*command), range(4)))
        self.assertEqual(sorted(each.returncode for each in done), [0, 1, 1, 1], done)
        output("checkpoint", "inspect", out)
        self.assertEqual(glob.glob(glob.escape(out) + ".writing*"), [])

    def test_probe_names_what_is_wrong_with_the_batch(self):
        out = self.path("numbers.safetensors")
        arguments = ["model", "probe", "--checkpoint", self.checkpoint, "--out", out, "--like"]
        batch = {"actions": numpy.zeros((4, 3, 2), numpy.float32), "rewards": numpy.zeros((4, 2), numpy.float32),
                 "speed": numpy.zeros(3)}
        self.refused([*arguments, self.write(batch)], "observations is missing", "rewards is float32 (4, 2), must be float32 (4, 3)",
                     "has_plan is missing")
        self.assertFalse(os.path.exists(out))

    def test_probe_refuses_arrays_it_does_not_know_and_members_there_are_not(self):
        b, h, a = 4, 3, 2
        zeros = lambda *shape: numpy.zeros(shape, numpy.float32)
        batch = {"observations": zeros(b, h + 1, 5), "actions": zeros(b, h, a), "rewards": zeros(b, h),
                 "terminated": numpy.zeros((b, h), bool), "plan_mean": zeros(b, h + 1, a),
                 "plan_std": zeros(b, h + 1, a) + 1, "has_plan": numpy.ones((b, h + 1), bool),
                 "target_noise": zeros(b, h, a), "target_members": numpy.array([0, 2]), "policy_noise": zeros(b, h, a),
                 "policy_members": numpy.array([0, 1])}
        out = self.path("numbers.safetensors")
        arguments = ["model", "probe", "--checkpoint", self.checkpoint, "--out", out, "--like"]
        output(*arguments, self.write(batch))
        self.assertIn("loss.policy", tensor_file.load(out))
        os.remove(out)
        self.refused([*arguments, self.write(batch | {"speed": zeros(3)})], "speed is unknown")
        self.refused([*arguments, self.write(batch | {"actions": zeros(b, h, a) + 2})],
                     "actions, which must be in [-1, 1]")
        self.refused([*arguments, self.write(batch | {"rewards": zeros(b, h) + numpy.float32(numpy.nan)})],
                     "rewards, which must be finite")
        self.refused([*arguments, self.write(batch | {"policy_members": numpy.array([0, 3])})], "policy_members has 3",
                     "0 to 2")
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    unittest.main()
