"""pompc tasks trace, probe and reset: the recordings' own formats, and what is refused."""

import json
import os
import tempfile
import unittest

import program

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "control_suite")
TASKS = ("pendulum-swingup", "cartpole-swingup")


def computed(*arguments):
    return json.loads(program.output("tasks", *arguments))


def recorded(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return json.load(file)


class ComputationTest(unittest.TestCase):
    def near(self, actual, expected, tolerance):
        """Every member of the record `expected`, and no others."""
        self.assertEqual(sorted(actual), sorted(expected))
        for name, value in expected.items():
            pairs = zip(actual[name], value, strict=True) if isinstance(value, list) else [(actual[name], value)]
            for mine, other in pairs:
                self.assertLessEqual(abs(mine - other), tolerance, name)

    def test_trace_has_the_recordings_form_and_numbers(self):
        for task in TASKS:
            expected = recorded(task + ".json")
            actual = computed("trace", task, "--like", os.path.join(DATA, task + ".json"))
            for name in ("task", "mujoco_version", "physics_timestep", "n_sub_steps", "nq", "nv", "nu", "na",
                         "obs_dim", "action_rule"):
                self.assertEqual(actual[name], expected[name])
            self.assertEqual(len(actual["records"]), 21)
            for mine, other in zip(actual["records"], expected["records"], strict=True):
                self.near(mine, other, 1e-6)

    def test_trace_of_a_start_alone_has_a_record_of_every_tenth_step(self):
        recording = recorded("cartpole-swingup.json")
        whole = computed("trace", "cartpole-swingup", "--like", os.path.join(DATA, "cartpole-swingup.json"))
        recording["records"] = recording["records"][:1]
        self.assertEqual(self.trace(recording)["records"], whole["records"])

    def test_trace_has_the_steps_it_is_asked_for(self):
        recording = recorded("cartpole-swingup.json")
        recording["records"] = [recording["records"][0], {"step": 7}, {"step": 1003}]
        self.assertEqual([record["step"] for record in self.trace(recording)["records"]], [0, 7, 1003])

    def trace(self, recording):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "recording.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(recording, file)
            return computed("trace", "cartpole-swingup", "--like", path)

    def test_probe_has_the_recordings_form_and_numbers(self):
        expected = recorded("reward_probes.json")["tasks"]
        for task in TASKS:
            actual = computed("probe", task, "--like", os.path.join(DATA, "reward_probes.json"))
            self.assertEqual(list(actual["tasks"]), [task])
            for mine, other in zip(actual["tasks"][task], expected[task], strict=True):
                self.near(mine, other, 1e-9)

    def test_reset_has_the_recordings_form_and_numbers(self):
        expected = recorded("seeded_resets.json")["tasks"]
        for task in TASKS:
            actual = computed("reset", task, "--seeds", "0,1,2", "--episodes", "2")
            for mine, other in zip(actual["tasks"][task], expected[task], strict=True):
                self.near(mine, other, 1e-9)

    def test_numbers_are_whole_doubles(self):
        start = computed("reset", "pendulum-swingup", "--seeds", "1")["tasks"]["pendulum-swingup"][0]
        # RandomState(1).uniform(-pi, pi)
        self.assertEqual(start["qpos"], [-0.521366120872004])


class AssetsTest(unittest.TestCase):
    """Tasks whose models are not built in, without them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def sources(self, *arguments, **environment):
        done = program.run("tasks", *arguments, **environment)
        self.assertEqual(done.returncode, 0, done)
        # Of each line that begins with a task, the first and the last column.
        rows = [line.split("  ") for line in done.stdout.splitlines() if "built in" in line or ".xml" in line]
        return done.stdout, {row[1]: row[-1].strip() for row in rows}

    def test_list_says_where_models_are_from(self):
        for arguments, environment in ((["--assets", self.folder], {}), ([], {"POMPC_ASSETS": self.folder}),
                                       ([], {"POMPC_ASSETS": "", "XDG_DATA_HOME": self.folder})):
            text, sources = self.sources(*arguments, **environment)
            self.assertEqual(sources["cartpole-swingup"], "built in")
            self.assertEqual(sources["dog-walk"], "asset folder: dog.xml is missing")
            self.assertIn("asset folder is " + self.folder, text)
            self.assertIn("scripts/fetch-control-suite.sh", text)
        with open(os.path.join(self.folder, "dog.xml"), "w", encoding="utf-8") as file:
            file.write("<mujoco/>")
        _, sources = self.sources("--assets", self.folder)
        self.assertEqual(sources["dog-walk"], "asset folder: dog.xml")
        self.assertEqual(sources["humanoid-run"], "asset folder: humanoid.xml is missing")

    def test_task_without_its_model_is_refused(self):
        for command in (["tasks", "reset", "humanoid-run", "--assets", self.folder],
                        ["train", "--task", "humanoid-run", "--assets", self.folder, "--run-dir",
                         os.path.join(self.folder, "run")]):
            done = program.run(*command)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("humanoid.xml", done.stderr)
            self.assertIn(self.folder, done.stderr)
            self.assertIn("scripts/fetch-control-suite.sh", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "run")))

    def test_damaged_model_is_refused(self):
        with open(os.path.join(self.folder, "humanoid.xml"), "w", encoding="utf-8") as file:
            file.write("<mujoco><worldbody>")
        done = program.run("tasks", "reset", "humanoid-run", "--assets", self.folder)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(os.path.join(self.folder, "humanoid.xml"), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


class RefusalTest(unittest.TestCase):
    def refused(self, arguments, *texts, status):
        done = program.run("tasks", *arguments)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done)
        lines = [line for line in done.stderr.splitlines() if line and "--help" not in line]
        self.assertEqual(len(lines), 1, done.stderr)
        for text in texts:
            self.assertIn(text, lines[0])

    def like(self, text, *texts, command="trace"):
        """The command's refusal of a file with that text."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text if isinstance(text, str) else json.dumps(text))
            self.refused([command, "cartpole-swingup", "--like", path], path, *texts, status=2)

    def test_unknown_task_names_the_tasks(self):
        path = os.path.join(DATA, "reward_probes.json")
        for arguments in (["trace", "dance", "--like", path], ["probe", "dance", "--like", path], ["reset", "dance"]):
            self.refused(arguments, '"dance"', "cartpole-swingup", status=1)

    def test_file_that_cannot_be_read(self):
        for command in ("trace", "probe"):
            self.refused([command, "cartpole-swingup", "--like", "/nowhere/x.json"], "/nowhere/x.json", status=1)
            self.refused([command, "cartpole-swingup", "--like", "/"], "/", status=1)
            self.refused([command, "cartpole-swingup"], "--like", status=2)

    def test_text_that_is_no_recording(self):
        for command in ("trace", "probe"):
            self.like("{", "parse error", command=command)
            self.like("[1]", "not a JSON object", command=command)
        self.like("{}", "action_rule")
        self.like({"action_rule": {"kind": "random"}}, "action_rule.kind", "sine")
        self.like({"action_rule": {"kind": "sine", "omega": "x"}}, "omega")
        self.like({}, "tasks", command="probe")
        self.like({"tasks": {"pendulum-swingup": []}}, "cartpole-swingup", command="probe")
        self.like({"tasks": {"cartpole-swingup": [3]}}, "[0]", command="probe")

    def test_states_that_are_not_the_tasks(self):
        good = recorded("cartpole-swingup.json")
        for change, texts in (({"qpos": [1]}, ("records[0]", "qpos has 1 numbers", "needs 2")),
                              ({"qvel": [1, 2, 3]}, ("qvel has 3 numbers",)),
                              ({"act": [1]}, ("act has 1 numbers",)),
                              ({"target_pos": [1, 2, 3]}, ("target has 3 numbers",)),
                              ({"qpos": "x"}, ("qpos is not a list",)),
                              ({"qvel": [1, None]}, ("qvel is not a list",))):
            recording = dict(good, records=[dict(good["records"][0], **change)])
            self.like(recording, *texts)
            self.like({"tasks": {"cartpole-swingup": recording["records"]}}, *texts[1:], command="probe")
        self.like(dict(good, records=[{"step": 0}]), "qpos is missing")
        self.like(dict(good, records=[]), "records")

    def test_steps_that_do_not_go_on(self):
        good = recorded("cartpole-swingup.json")
        start = good["records"][0]
        for steps in ([1], [0, 0], [0, 10, 5], [0, 1.5], [0, -1], [0, 10**9]):
            records = [dict(start, step=step) for step in steps]
            self.like(dict(good, records=records), f"records[{len(steps) - 1}]", "allowed: ")

    def test_bad_seeds_and_episodes(self):
        self.refused(["reset", "cartpole-swingup", "--seeds", "1,x"], "--seeds", status=2)
        self.refused(["reset", "cartpole-swingup", "--seeds=-1"], "--seeds", status=2)
        self.refused(["reset", "cartpole-swingup", "--episodes", "0"], "--episodes", status=2)


if __name__ == "__main__":
    unittest.main()
