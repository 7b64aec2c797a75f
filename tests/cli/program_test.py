"""The pompc program as its users meet it: help, errors, and the commands that need no training."""

import os
import socket
import tempfile
import unittest
import xml.etree.ElementTree

from program import output, run

COMMANDS = ("train", "evaluate", "status", "stop", "plot", "checkpoint", "model", "config", "tasks")


class HelpTest(unittest.TestCase):
    def test_help_names_every_command(self):
        text = output("--help")
        for command in COMMANDS:
            self.assertIn(command, text)

    def test_every_command_has_help(self):
        for command in COMMANDS:
            self.assertIn("Usage: pompc " + command, output(command, "--help").replace("pompc pompc", "pompc"))

    def test_version(self):
        self.assertRegex(output("--version"), r"^\d+\.\d+\.\d+")


class ErrorTest(unittest.TestCase):
    def refused(self, arguments, *texts, status=None):
        done = run(*arguments)
        self.assertNotEqual(done.returncode, 0, arguments)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line and "--help" not in line]
        self.assertEqual(len(lines), 1, done.stderr)
        for text in texts:
            self.assertIn(text, lines[0])

    def test_no_command(self):
        self.refused([], "subcommand", status=2)

    def test_unknown_flag(self):
        self.refused(["train", "--sed", "1"], "--sed", status=2)

    def test_unknown_preset_names_those_there_are(self):
        self.refused(["train", "--preset", "nope"], "nope", "quickstart")

    def test_unknown_field_names_the_field(self):
        self.refused(["config", "--set", "learner.udt=1"], "learner.udt", "learner.utd", status=2)

    def test_value_out_of_range_names_the_range(self):
        self.refused(["config", "--set", "learner.batch_size=0"], "learner.batch_size", "1 to 65536", status=2)

    def test_unknown_task_names_the_tasks(self):
        self.refused(["train", "--task", "cartpole-dance"], "cartpole-dance", "cartpole-swingup")

    def test_missing_config_file(self):
        self.refused(["train", "--config", "/nowhere/x.textproto"], "/nowhere/x.textproto")

    def test_bad_config_file_names_file_and_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.textproto")
            with open(path, "w", encoding="utf-8") as file:
                file.write("seed: 1\nlearner { utd: 1000 }\n")
            self.refused(["config", "--config", path], path + ":2", "utd", status=2)

    def test_train_numbers_out_of_range(self):
        self.refused(["train", "--shards", "0"], "--shards", status=2)
        self.refused(["train", "--threads", "0"], "--threads", status=2)
        self.refused(["train", "--plan-threads", "1025"], "--plan-threads", status=2)

    def test_train_unknown_device(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refused(["train", "--run-dir", os.path.join(folder, "run"), "--device", "abacus"], "abacus")

    def test_train_busy_port(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            run_dir = os.path.join(folder, "run")
            self.refused(["train", "--run-dir", run_dir, "--metrics-listen", address], address)
            self.refused(["train", "--run-dir", run_dir, "--preset", "quickstart", "--listen", address], address)

    def test_train_beyond_loopback_needs_insecure(self):
        with tempfile.TemporaryDirectory() as folder:
            run_dir = os.path.join(folder, "run")
            self.refused(["train", "--run-dir", run_dir, "--preset", "quickstart", "--listen", "0.0.0.0:0"],
                         "--insecure")

    def test_train_into_a_folder_that_is_no_run(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "thesis.txt"), "w", encoding="utf-8") as file:
                file.write("precious")
            self.refused(["train", "--preset", "quickstart", "--run-dir", folder], folder)
            self.assertEqual(os.listdir(folder), ["thesis.txt"])

    def test_evaluate_without_a_checkpoint(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refused(["evaluate"], "--run-dir", "--checkpoint", status=2)
            self.refused(["evaluate", "--run-dir", folder], folder, "no checkpoint", status=1)
            self.refused(["evaluate", "--checkpoint", folder + "/x"], folder + "/x", "no checkpoint", status=1)
            self.refused(["evaluate", "--checkpoint", folder], folder)
            self.refused(["evaluate", "--run-dir", folder, "--checkpoint", folder], "--checkpoint", status=2)

    def test_status_and_stop_without_a_learner(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
            self.refused(["status", "--learner", address], address, status=1)
            self.refused(["stop", "--learner", address], address, status=1)
            for command in ("status", "stop"):
                done = run(command, POMPC_LEARNER=address)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn(address, done.stderr)
        self.refused(["status"], "--learner", "--run-dir", status=2)
        self.refused(["stop", "--learner", "nowhere"], "--learner", "nowhere", status=2)

    def test_folders_without_a_run(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refused(["status", "--run-dir", folder], folder, "no run here", status=1)
            self.refused(["plot", "--run-dir", folder], folder, "no run here", status=1)


class ConfigTest(unittest.TestCase):
    def test_config_is_complete_and_reads_back_as_itself(self):
        text = output("config", "--preset", "quickstart", "--seed", "7")
        for field in ("seed: 7", "observation_size: 5", "episode_decisions: 250", "dropout"):
            self.assertIn(field, text)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.textproto")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.assertEqual(output("config", "--config", path), text)

    def test_task_is_short_for_set(self):
        self.assertEqual(output("config", "--task", "pendulum-swingup"),
                         output("config", "--set", "env.task=pendulum-swingup"))

    def test_tasks_are_listed_with_their_sizes(self):
        lines = output("tasks").splitlines()
        swingup = [line.split() for line in lines if line.split()[:1] == ["cartpole-swingup"]]
        self.assertEqual(swingup[0][1:4], ["5", "1", "1000"])
        self.assertGreaterEqual(len(lines), 6)


class RunDirectoryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.write("config.textproto", output("config", "--preset", "quickstart"))

    def write(self, name, text):
        with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
            file.write(text)

    def write_results(self):
        self.write("evaluations.csv",
                   "evaluation_id,version,rows,updates,elapsed_seconds,episodes,return_mean,return_ci95,"
                   "return_min,return_max\n1,1.5,1000,500,30,3,210.5,50.1,180,240\n"
                   "2,1.9,2000,1000,60,3,712.25,nan,700,720\n")
        self.write("episodes.csv", "elapsed_seconds,rows,episodes,actor_index,return\n5,500,1,0,12.5\n9,1000,2,0,90\n")

    def test_plot_draws_a_well_formed_picture(self):
        self.write_results()
        path = output("plot", "--run-dir", self.folder.name).strip()
        self.assertEqual(path, os.path.join(self.folder.name, "learning_curve.svg"))
        root = xml.etree.ElementTree.parse(path).getroot()
        svg = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.tag, svg + "svg")
        self.assertEqual(len(root.findall(svg + "circle")), 2)
        self.assertEqual(len(root.findall(svg + "polyline")), 2)
        texts = [text.text for text in root.iter(svg + "text")]
        for text in ("cartpole-swingup, seed 1", "goal", "rows (decisions of the agent)"):
            self.assertIn(text, texts)

    def test_plot_of_a_run_without_evaluations_says_so(self):
        path = os.path.join(self.folder.name, "picture.svg")
        output("plot", "--run-dir", self.folder.name, "--out", path)
        xml.etree.ElementTree.parse(path)
        with open(path, encoding="utf-8") as file:
            self.assertIn("no data yet", file.read())

    def test_plot_where_nothing_can_be_written(self):
        done = run("plot", "--run-dir", self.folder.name, "--out", "/nowhere/x.svg")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/x.svg", done.stderr)

    def test_status_lists_the_evaluations(self):
        self.assertIn("none yet", output("status", "--run-dir", self.folder.name))
        self.write_results()
        text = output("status", "--run-dir", self.folder.name)
        for part in ("cartpole-swingup", "210.5 ± 50.1", "712.2", "2,000"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main()
