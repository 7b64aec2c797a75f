"""pompc checkpoint export --onnx: the files compute what pompc computes, for both forms of the policy, and the
planner's pieces give the values of action sequences. The files are run by onnxruntime where that is installed, and by
NumPy in any case (tests/support/onnx_numpy.py).

Usage: onnx_test.py BUILD_FOLDER"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from program import BUILD, output, run, run_with

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "scripts"), os.path.join(ROOT, "bench", "peers")]

try:
    import numpy
    import onnx_numpy
except ImportError as error:
    print(f"skipped: {error} (Debian: python3-numpy, python3-protobuf)")
    sys.exit(77)

import tensor_file  # pylint: disable=wrong-import-position
from random_batch import random_batch  # pylint: disable=wrong-import-position

ONNXRUNTIME = importlib.util.find_spec("onnxruntime")
FROZEN_RUN = os.path.join(BUILD, "tests", "learner_frozen_run")
UPDATES, ROWS, TOLERANCE = "20", 1000, 1e-5
FORMS = ("CLIPPED_GAUSSIAN", "TANH_GAUSSIAN")
PIECES = ("", ".encoder", ".latent_policy", ".dynamics", ".reward", ".values", ".termination")


class OnnxTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.checkpoints = {form: cls.checkpoint(form, f"model.policy_form={form}") for form in FORMS}
        # What the check of the export imports in place of onnxruntime.
        cls.stand_in = os.path.join(cls.folder, "stand-in")
        os.mkdir(cls.stand_in)
        with open(os.path.join(cls.stand_in, "onnxruntime.py"), "w", encoding="utf-8") as file:
            file.write("from onnx_numpy import InferenceSession, SessionOptions\n__version__ = 'of NumPy'\n")

    @classmethod
    def checkpoint(cls, name, *overrides):
        checkpoints = os.path.join(cls.folder, name)
        # A higher rate brings the networks away from their beginnings, where half of them are zero.
        subprocess.run([FROZEN_RUN, checkpoints, UPDATES, "0", "learner.learning_rate=0.003", "model.log_std_max=2",
                        *overrides], check=True, capture_output=True, timeout=100)
        return os.path.join(checkpoints, f"update-{int(UPDATES):09d}")

    def lively(self, checkpoint):
        """The checkpoint with random last layers, which training began at zero: values that differ from one another,
        and states of which some are terminal."""
        weights, out = self.path("weights.safetensors"), checkpoint + "-lively"
        output("checkpoint", "export", checkpoint, "--out", weights)
        arrays, random = tensor_file.load(weights), numpy.random.default_rng(3)
        for network, size in (("dynamics", 1), ("reward", 0.3), ("q", 0.3), ("q_target", 0.3), ("termination", 1)):
            if (name := f"{network}.2.weight") in arrays:
                arrays[name] = size * random.standard_normal(arrays[name].shape).astype(numpy.float32)
        tensor_file.save(weights, arrays)
        output("checkpoint", "import", weights, "--like", checkpoint, "--out", out)
        return out

    def path(self, name):
        return os.path.join(self.folder, self.id().rpartition(".")[2] + "-" + name)

    def export(self, checkpoint, *more):
        path = self.path("policy.onnx")
        return path, output("checkpoint", "export", checkpoint, "--onnx", path, "--python", "", *more)

    def runtimes(self):
        """Name and function(file, inputs) -> {output: array} of each program that runs the files."""
        def runner(module):
            def call(file, **inputs):
                session = module.InferenceSession(file, module.SessionOptions(), providers=["CPUExecutionProvider"])
                names = [one.name for one in session.get_outputs()]
                return dict(zip(names, session.run(names, inputs)))
            return call
        yield "NumPy", runner(onnx_numpy)
        if ONNXRUNTIME:
            import onnxruntime
            yield f"onnxruntime {onnxruntime.__version__}", runner(onnxruntime)

    def probe(self, checkpoint, seed):
        """Inputs of `pompc model probe` with ROWS windows, and its outputs."""
        weights = self.path("weights.safetensors")
        output("checkpoint", "export", checkpoint, "--out", weights)
        with open(os.path.join(checkpoint, "state.json"), encoding="utf-8") as file:
            config = json.load(file)["config"]
        inputs = random_batch(tensor_file.load(weights), config, seed, windows=ROWS)
        tensor_file.save(self.path("batch.safetensors"), inputs)
        output("model", "probe", "--checkpoint", checkpoint, "--like", self.path("batch.safetensors"), "--out",
               self.path("numbers.safetensors"))
        return inputs, tensor_file.load(self.path("numbers.safetensors"))

    def equal(self, what, theirs, ours):
        self.assertEqual((theirs.shape, theirs.dtype), (ours.shape, ours.dtype), what)
        largest = max(1, numpy.abs(ours).max())
        self.assertGreater(numpy.abs(ours).max(), 1e-2, what)
        difference = numpy.abs(theirs - ours).max() / largest
        print(f"{what}: differs by {difference:.2g} of {largest:.4g}")
        self.assertLess(difference, TOLERANCE, what)

    def test_the_policy_is_that_of_pompc_for_both_forms(self):
        for form, checkpoint in self.checkpoints.items():
            path, words = self.export(checkpoint)
            self.assertEqual(words, f"{path}\nnot compared with onnxruntime, as no Python was named\n")
            inputs, ours = self.probe(checkpoint, 5)
            for name, call in self.runtimes():
                with self.subTest(form=form, runtime=name):
                    made = call(path, observation=inputs["observations"][:, 0])
                    self.assertEqual(sorted(made), ["action", "mean", "std"])
                    self.equal(f"{form}, {name}: mean", made["mean"], ours["policy_mean"][:, 0])
                    self.equal(f"{form}, {name}: std", made["std"], numpy.exp(ours["policy_log_std"][:, 0]))
                    noise = inputs["policy_noise"][:, 0]
                    drawn = made["mean"] + made["std"] * noise
                    acted = numpy.tanh(drawn) if form == "TANH_GAUSSIAN" else drawn.clip(-1, 1)
                    self.equal(f"{form}, {name}: draws", acted, ours["policy_actions"][:, 0])
                    mean = ours["policy_mean"][:, 0]
                    self.equal(f"{form}, {name}: action", made["action"],
                               numpy.tanh(mean) if form == "TANH_GAUSSIAN" else mean)

    def sequence_values(self, call, stem, inputs, states, terminates, discount=0.99):
        """What pompc's planners maximise, by the pieces: docs/checkpoints.md has it in words."""
        count, horizon = inputs["sequences"].shape[1:3]
        z = call(f"{stem}.encoder.onnx", observation=inputs["observations"][:, 0])["latent"]
        z = numpy.repeat(z, count, 0)
        total, weight, alive = 0, 1, numpy.ones(len(z), numpy.float32)
        for step in range(horizon):
            action = inputs["sequences"][:, :, step].reshape(len(z), -1)
            total = total + weight * alive * call(f"{stem}.reward.onnx", latent=z, action=action)["reward"]
            z = call(f"{stem}.dynamics.onnx", latent=z, action=action)["next_latent"]
            weight *= discount
            if terminates:
                alive = alive * (call(f"{stem}.termination.onnx", latent=z)["probability"] <= 0.5)
        if terminates:  # else what follows a terminal state would not be tested
            self.assertTrue(0.1 < alive.mean() < 0.9, alive.mean())
        action = call(f"{stem}.latent_policy.onnx", latent=z,
                      noise=inputs["sequence_noise"].reshape(len(z), -1))["action"]
        values = call(f"{stem}.values.onnx", latent=z, **({} if states else {"action": action}))["values"]
        pairs = numpy.repeat(inputs["sequence_members"], count, 0)
        chosen = values[pairs, numpy.arange(len(z))[:, None]].mean(1)
        return (total + weight * alive * chosen).astype(numpy.float32).reshape(-1, count)

    def test_the_pieces_give_the_values_of_action_sequences(self):
        states = self.checkpoint("states", "model.value_form=STATE_VALUES", "po_mpc.alpha=1", "po_mpc.prior=REPLAY",
                                 "env.spec.terminates=false")
        for form, source in (*self.checkpoints.items(), ("STATE_VALUES", states)):
            checkpoint = self.lively(source)
            path, words = self.export(checkpoint, "--with-planner")
            terminates = source != states
            stem = path.removesuffix(".onnx")
            self.assertEqual(words.splitlines()[:-1],
                             [f"{stem}{piece}.onnx" for piece in PIECES if terminates or piece != ".termination"])
            inputs, ours = self.probe(checkpoint, 6)
            for name, call in self.runtimes():
                with self.subTest(form=form, runtime=name):
                    made = self.sequence_values(call, stem, inputs, source == states, terminates)
                    self.assertGreater(ours["sequence_values"].std(), 0.1)
                    self.equal(f"{form}, {name}: values of {made.size} sequences", made, ours["sequence_values"])
            os.remove(f"{stem}.encoder.onnx")

    def test_the_files_say_what_they_are(self):
        path, _ = self.export(self.checkpoints["TANH_GAUSSIAN"])
        model = onnx_numpy.InferenceSession(path).model
        self.assertEqual((model.ir_version, [(one.domain, one.version) for one in model.opset_import]), (8, [("", 17)]))
        self.assertEqual({text.key: text.value for text in model.metadata_props},
                         {"pompc.run": "frozen", "pompc.task": "external", "pompc.updates": UPDATES,
                          "pompc.policy_form": "TANH_GAUSSIAN", "pompc.discount": "0.99", "pompc.horizon": "3"})
        (given,) = model.graph.input
        dims = [one.dim_param or one.dim_value for one in given.type.tensor_type.shape.dim]
        self.assertEqual((given.name, dims), ("observation", ["rows", 5]))

    def compared(self, *more, checkpoint="", **environment):
        path = self.path("policy.onnx")
        paths = [self.stand_in, os.path.join(ROOT, "tests", "support")]
        done = run_with({}, "checkpoint", "export", checkpoint or self.checkpoints["CLIPPED_GAUSSIAN"], "--onnx", path,
                        "--with-planner", *(more or ("--python", sys.executable)),
                        PYTHONPATH=os.pathsep.join(paths), **environment)
        return path, done

    def test_the_export_compares_the_files_where_there_is_a_runtime(self):
        path, done = self.compared()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(path))
        self.assertRegex(done.stdout.splitlines()[-1], "onnxruntime of NumPy computes what pompc does: 11 outputs "
                         r"differ by at most [0-9.e-]+ of their largest number")

    def test_files_that_compute_something_else_are_not_written(self):
        before = os.listdir(self.folder)
        _, done = self.compared(ONNX_NUMPY_ERROR="0.0001")
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr,
                         r"policy\.onnx: action differs from pompc's by 0\.0001 of its largest number; 1e-05 is")
        self.assertEqual(os.listdir(self.folder), before)

    def test_what_float32_rounds_is_no_difference(self):
        """Numbers 5e-5 away pass where float32 has rounded 2e-5, as it does in steep policies, and nowhere else."""
        path, _ = self.export(self.checkpoints["CLIPPED_GAUSSIAN"])
        observation = numpy.random.default_rng(7).normal(size=(9, 5)).astype(numpy.float32)
        session = onnx_numpy.InferenceSession(path, None)
        names = [one.name for one in session.get_outputs()]
        program, paths = self.path("check.py"), [self.stand_in, os.path.join(ROOT, "tests", "support")]
        with open(program, "w", encoding="utf-8") as file:
            for part in ("python/pompc/tensor_file.py", "cli/checkpoint/onnx_check.py"):
                with open(os.path.join(ROOT, part), encoding="utf-8") as source:
                    file.write(source.read() + "\n")
            file.write("main()\n")
        for rounded, status in ((2e-5, 0), (0, 1)):
            arrays = {"0/input/observation": observation}
            for name, theirs in zip(names, session.run(names, {"observation": observation})):
                arrays[f"0/output/{name}"] = theirs + numpy.float32(5e-5)
                arrays[f"0/exact/{name}"] = arrays[f"0/output/{name}"].astype(numpy.float64) + rounded
            tensor_file.save(self.path("numbers.safetensors"), arrays)
            done = subprocess.run(
                [sys.executable, program, "1e-5", self.path("numbers.safetensors"), self.path("report"), path],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False,
                timeout=60)
            self.assertEqual(done.returncode, status, done.stderr)

    def test_without_a_runtime_the_files_are_written_and_it_says_so(self):
        for python, words in (("no-such-program", "there is no program no-such-program"),
                              (sys.executable, "No module named 'onnxruntime'")):
            if python == sys.executable and ONNXRUNTIME:
                continue
            path = self.path("policy.onnx")
            text = output("checkpoint", "export", self.checkpoints["CLIPPED_GAUSSIAN"], "--onnx", path, "--python",
                          python)
            self.assertIn(f"not compared with onnxruntime: {words}", text)
            os.remove(path)

    def test_a_python_without_numpy_compares_nothing(self):
        without = os.path.join(self.folder, "without-numpy")
        os.makedirs(without)
        with open(os.path.join(without, "numpy.py"), "w", encoding="utf-8") as file:
            file.write("raise ImportError('there is no numpy')\n")
        done = run_with({}, "checkpoint", "export", self.checkpoints["CLIPPED_GAUSSIAN"], "--onnx", self.path("x.onnx"),
                        "--python", sys.executable, PYTHONPATH=without)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("not compared with onnxruntime: there is no numpy (pip", done.stdout)
        os.remove(self.path("x.onnx"))
        shutil.rmtree(without)

    def test_a_python_that_fails_is_told_with_what_to_do(self):
        done = run("checkpoint", "export", self.checkpoints["CLIPPED_GAUSSIAN"], "--onnx", self.path("x.onnx"),
                   "--python", "false")
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done)
        self.assertIn("--python '' writes the files without comparing them", done.stderr)

    def test_what_cannot_be_exported_is_refused(self):
        checkpoint = self.checkpoints["CLIPPED_GAUSSIAN"]
        for arguments, words in (((), "what to write?"),
                                 (("--with-planner", "--out", "x"), "--with-planner requires --onnx"),
                                 (("--onnx", "policy.pt"), "policy.pt: its name must end in .onnx"),
                                 (("--onnx", "a/.onnx"), "must end in .onnx")):
            done = run("checkpoint", "export", checkpoint, *arguments)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(words, done.stderr)
        done = run("checkpoint", "export", checkpoint, "--onnx", "/proc/policy.onnx")
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done)


if __name__ == "__main__":
    if not ONNXRUNTIME:
        print("onnxruntime is not installed (pip install onnxruntime): NumPy alone runs the files")
    unittest.main()
