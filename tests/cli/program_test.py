"""The pompc program as its users meet it: help, errors, and the commands that need no training."""

import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

from program import BUILD, output, run, run_with
from processes import FEW_THREADS, limit_threads  # found by the way of program.py

COMMANDS = ("train", "evaluate", "sweep", "status", "stop", "plot", "checkpoint", "replay", "planner", "model", "config", "tasks")
NO_INTEGERS = ("010", "-1", "0x10", "+1", " 1", "1 ", "18446744073709551616", "1e3", "")


class HelpTest(unittest.TestCase):
    def test_help_names_every_command(self):
        text = output("--help")
        for command in COMMANDS:
            self.assertIn(command, text)
        self.assertIn("Exit status: 0", text)

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
        self.refused([], "no command", "train, evaluate, sweep", status=2)
        self.refused(["checkpoint"], "no command", "checkpoint has the commands inspect, export, import", status=2)

    def test_unknown_command_names_the_commands(self):
        self.refused(["tain", "--preset", "quickstart"], 'unknown command "tain"', ", ".join(COMMANDS), status=2)
        self.refused(["checkpoint", "show", "runs/a"], 'unknown command "show"', "inspect, export, import", status=2)
        self.refused(["--preset", "quickstart"], 'unknown flag "--preset"', status=2)

    def test_planners_that_are_not_there_are_named(self):
        self.refused(["planner", "runs", "--planners", "127.0.0.1:1"], "planner 127.0.0.1:1", status=1)
        self.refused(["planner", "runs", "--planners", "nowhere"], "--planners", status=2)
        self.refused(["planner", "follow", "--planners", "127.0.0.1:1", "--learner", "x"], "--learner", status=2)
        self.refused(["planner"], "no command", "planner has the commands runs, follow, unfollow", status=2)

    def test_flags_of_a_sweep_that_would_do_nothing_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "sweep.textproto")
            with open(file, "w", encoding="ascii") as text:
                text.write('name: "some" base { preset: "quickstart" } seeds: "1"')
            sweep = ["sweep", "run", file, "--dir", os.path.join(folder, "out")]
            self.refused([*sweep, "--plan-threads", "2"], "--plan-threads", "--shared-planner", status=2)
            self.refused([*sweep, "--listen", "127.0.0.1:0"], "--listen", "--planners", status=2)
            self.refused([*sweep, "--shared-planner", "--planners", "127.0.0.1:1"], "one of the two", status=2)
            self.assertEqual(os.listdir(folder), ["sweep.textproto"], "nothing was begun")

    def test_an_error_is_one_line_whatever_it_names(self):
        self.refused(["tr\nain"], 'unknown command "tr ain"', status=2)
        self.refused(["evaluate", "--run-dir", "no\nsuch"], "no such", status=1)
        self.refused(["config", "--set", "learner.udt=1\nlearner.utd=2"], "learner.udt", status=2)

    def test_a_policy_alone_has_no_settings_of_the_planner(self):
        self.refused(["evaluate", "--run-dir", "a", "--policy", "--set", "planner.method=CEM"], "--policy", "--set",
                     status=2)

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


class LimitsTest(unittest.TestCase):
    """Limits of the system end a program with one line, or do not matter to it."""

    def test_threads_that_the_system_refuses_are_told(self):
        # OpenBLAS starts its own before the program, and ends it itself where they are refused.
        for command in ("status", "stop"):
            for threads in FEW_THREADS:
                done = run_with({"preexec_fn": limit_threads(threads)}, command, "--learner", "127.0.0.1:1",
                                OPENBLAS_NUM_THREADS="1")
                self.assertEqual(done.returncode, 1, (command, threads, done))
                self.assertRegex(done.stderr, r"\Apompc[^\n]*no thread can be started: [^\n]*ulimit -u[^\n]*\n\Z")

    def test_few_descriptors_matter_to_those_who_serve_alone(self):
        for descriptors in (32, 256):
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                               (descriptors, descriptors))  # pylint: disable=cell-var-from-loop
            done = run_with({"preexec_fn": limit}, "config")
            self.assertEqual((done.returncode, done.stderr), (0, ""), done)
            done = run_with({"preexec_fn": limit}, "status", "--learner", "127.0.0.1:1")
            self.assertNotIn("ulimit", done.stderr)
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        with tempfile.TemporaryDirectory() as folder:
            done = run_with({"preexec_fn": limit}, "train", "--run-dir", os.path.join(folder, "run"))
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("(ulimit -n) is 32; at least 64 are needed", done.stderr)


class NumbersTest(unittest.TestCase):
    """A number is what it looks like in decimal, or it is refused."""

    def refused(self, flag, value, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2, (arguments, done))
        for text in (flag, f'"{value}"', "allowed: integer"):
            self.assertIn(text, done.stderr, arguments)

    def test_seeds_of_every_kind(self):
        for value in NO_INTEGERS:
            self.refused("--seed", value, "config", "--seed", value)
        self.assertIn("seed: 18446744073709551615\n", output("config", "--seed", "18446744073709551615"))
        self.assertIn("seed: 10\n", output("config", "--seed", "10"))

    def test_every_integer_flag(self):
        for *command, flag in (("train", "--seed"), ("train", "--threads"), ("train", "--plan-threads"),
                               ("train", "--shards"), ("evaluate", "--episodes"), ("evaluate", "--seed"),
                               ("evaluate", "--threads"), ("tasks", "reset", "cartpole-swingup", "--episodes"),
                               ("tasks", "reset", "cartpole-swingup", "--seeds")):
            self.refused(flag, "010", *command, flag, "010")
        self.refused("--seeds", "-1", "tasks", "reset", "cartpole-swingup", "--seeds=1,-1")

    def test_no_flag_of_any_program_is_read_by_the_library(self):
        # CLI11 shows these types where it reads the number itself.
        programs = [[name] for name in sorted(os.listdir(os.path.join(BUILD, "bin"))) if name.startswith("pompc")]
        programs += [["pompc", command] for command in COMMANDS] + [["pompc", "tasks", "reset"]]
        for program, *command in programs:
            done = subprocess.run([os.path.join(BUILD, "bin", program), *command, "--help"], capture_output=True,
                                  text=True, timeout=60, check=True)
            self.assertNotRegex(done.stdout, r"\b(INT|UINT|FLOAT)\b", (program, command))

    def test_settings_and_files(self):
        for value in NO_INTEGERS:
            if value == value.strip():
                self.refused("seed", value, "config", "--set", f"seed={value}")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.textproto")
            with open(path, "w", encoding="utf-8") as file:
                file.write("seed: 010\n")
            done = run("config", "--config", path)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(f"{path}:1: seed: 010 is not decimal", done.stderr)

    def test_addresses(self):
        for port in ("080", "0x50", "+80", " 80", "8e1", "65536"):
            done = run("status", "--learner", f"127.0.0.1:{port}")
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("port from 1 to 65535", done.stderr)
            done = run("train", "--metrics-listen", f"127.0.0.1:{port}")
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("port from 0 to 65535", done.stderr)

    def test_the_locale_changes_nothing(self):
        arguments = ("config", "--set", "learner.utd=0.5", "--set", "stop.return_mean=-1234567.5")
        self.assertEqual(run(*arguments, LC_ALL="de_DE.UTF-8", LC_NUMERIC="de_DE").stdout, output(*arguments))


class OutputTest(unittest.TestCase):
    """Commands whose output is their purpose fail when it does not arrive."""

    def test_a_full_disk_behind_standard_output(self):
        for arguments in (["config"], ["tasks"], ["--help"], ["--version"], ["train", "--help"],
                          ["tasks", "reset", "pendulum-swingup"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = run_with({"stdout": full}, *arguments)
            self.assertEqual(done.returncode, 1, (arguments, done))
            self.assertRegex(done.stderr, r"\Apompc[^\n]*: writing to standard output: No space left on device\n\Z")

    def test_closed_standard_descriptors(self):
        done = run_with({"stdout": None, "preexec_fn": lambda: os.close(1)}, "config")
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, r"\Apompc config: writing to standard output: [^\n]*\n\Z")
        # Without standard error there is nobody to tell, but still a status.
        done = run_with({"stdout": None, "preexec_fn": lambda: os.closerange(0, 3)}, "config", "--seed", "x")
        self.assertEqual(done.returncode, 2, done)
        # A file that the command opens takes the number of none of them.
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.textproto"), "w", encoding="utf-8") as file:
                file.write(output("config", "--preset", "quickstart"))
            picture = os.path.join(folder, "picture.svg")
            run_with({"stdout": None, "preexec_fn": lambda: os.closerange(0, 3)}, "plot", "--run-dir", folder, "--out",
                     picture)
            xml.etree.ElementTree.parse(picture)

    def test_a_reader_that_has_gone(self):
        for restore_signals, status, error in ((True, -signal.SIGPIPE, ""), (False, 1, "Broken pipe")):
            reading, writing = os.pipe()
            os.close(reading)
            # Python ignores SIGPIPE, and hands that on unless signals are restored.
            done = run_with({"stdout": writing, "restore_signals": restore_signals}, "tasks")
            os.close(writing)
            self.assertEqual(done.returncode, status, done)
            self.assertIn(error, done.stderr)
            self.assertLessEqual(len(done.stderr.splitlines()), 1, done.stderr)


class ConfigFileTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "run.textproto")

    def write(self, content):
        with open(self.path, "wb") as file:
            file.write(content)

    def refused(self, status, *texts):
        done = run("config", "--config", self.path)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for text in (self.path, *texts):
            self.assertIn(text, done.stderr)

    def test_byte_order_mark_and_carriage_returns(self):
        self.write(b"\xef\xbb\xbf# a comment\r\nseed: 7\r\nlearner {\r\n  utd: 0.5\r\n}\r\n")
        self.assertEqual(output("config", "--config", self.path),
                         output("config", "--seed", "7", "--set", "learner.utd=0.5"))
        self.write("seed: 7\n".encode("utf-16"))
        self.refused(2, "UTF-16")

    def test_a_folder(self):
        os.mkdir(self.path)
        self.refused(1, "Is a directory")

    def test_pipes(self):
        os.mkfifo(self.path)
        self.refused(1, "nobody writes to")
        done = subprocess.run(["bash", "-c", '"$0" config --config <(echo "seed: 7")',
                               os.path.join(BUILD, "bin", "pompc")], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("seed: 7\n", done.stdout)

    def test_a_name_that_is_no_text(self):
        self.path = os.path.join(os.path.dirname(self.path), os.fsdecode(b"run-\xe4"))
        self.write(b"seed: 7\n")
        self.assertIn("seed: 7\n", output("config", "--config", self.path))
        self.write(b"seed: x\n")
        self.refused(2, ":1: seed")


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

    def test_plot_beside_published_curves(self):
        self.write_results()
        path, *table = output("plot", "--run-dir", self.folder.name, "--reference").splitlines()
        self.assertEqual(path, os.path.join(self.folder.name, "references.svg"))
        root = xml.etree.ElementTree.parse(path).getroot()
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        for text in ("TD-MPC2", "BMPC", "frames (control steps of the environment)",
                     "decisions of this run (rows), 4 frames each"):
            self.assertIn(text, texts)
        self.assertIn("Returns at 8,000 frames (2,000 decisions of the run)", table[0])
        self.assertRegex(table[2], r"this run, last evaluation +712.2 +1$")
        # BMPC went from 104.4 to 770.1 in 100,000 frames.
        self.assertTrue([line for line in table if re.match(r" +BMPC +157.7 +[?] +1,000,000$", line)], table)

    def test_plot_beside_chosen_curves_up_to_more_frames(self):
        self.write_results()
        path = os.path.join(self.folder.name, "picture.svg")
        table = output("plot", "--run-dir", self.folder.name, "--out", path, "--reference", "TD-MPC2,SAC", "--frames",
                       "500000")
        self.assertIn("SAC", table)
        self.assertNotIn("BMPC", table)
        with open(path, encoding="utf-8") as file:
            self.assertIn(">500k<", file.read())

    def test_plot_refuses_methods_and_tasks_without_a_published_curve(self):
        done = run("plot", "--run-dir", self.folder.name, "--reference", "TD-MPC2,PPO")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r'\Apompc plot: --reference: "PPO" [^\n]*allowed: TD-MPC2, [^\n]*\n\Z')
        self.write("config.textproto", output("config", "--preset", "quickstart", "--task", "pendulum-spin"))
        done = run("plot", "--run-dir", self.folder.name, "--reference")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r'"pendulum-spin" [^\n]*there are curves of [^\n]*pendulum-swingup')
        done = run("plot", "--run-dir", self.folder.name, "--reference", POMPC_PUBLISHED_DIR="/nowhere")
        self.assertIn("/nowhere/dmc.csv", done.stderr)
        done = run("plot", "--run-dir", self.folder.name, "--frames", "10")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--reference", done.stderr)

    def test_status_lists_the_evaluations(self):
        self.assertIn("none yet", output("status", "--run-dir", self.folder.name))
        self.write_results()
        text = output("status", "--run-dir", self.folder.name)
        for part in ("cartpole-swingup", "210.5 ± 50.1", "712.2", "2,000"):
            self.assertIn(part, text)

    def test_status_tells_how_the_run_ended(self):
        self.write_results()
        self.assertRegex(output("status", "--run-dir", self.folder.name), "state +unknown: there is no run.json")
        self.write("run.json", '{"run_id": "a", "learner_incarnation": 2}')
        self.assertRegex(output("status", "--run-dir", self.folder.name), "state +start 2 has not told of its end")
        self.write("ended.json", '{"start": 2, "outcome": "failed: no room", "rows": 12345, "updates": 678, '
                                 '"elapsed_seconds": 62.5}')
        text = output("status", "--run-dir", self.folder.name)
        self.assertRegex(text, "state +failed: no room")
        self.assertRegex(text, "progress +12,345 rows, 678 updates, after 1:02")
        self.write("ended.json", "{")
        self.assertRegex(output("status", "--run-dir", self.folder.name), "state +unknown: .*ended.json cannot be read")

    def test_status_is_never_behind_the_evaluations(self):
        self.write_results()
        self.write("metrics.csv", "update,rows\n100,1500\n")
        self.assertRegex(output("status", "--run-dir", self.folder.name), "progress +2,000 rows")

    def test_status_takes_cells_that_are_no_whole_numbers(self):
        self.write_results()
        self.write("metrics.csv", "update,rows\nnan,1e300\n")
        self.assertRegex(output("status", "--run-dir", self.folder.name), r"progress +\? rows, \? updates, after")

    def test_status_reads_what_a_spreadsheet_saved(self):
        self.write_results()
        text = output("status", "--run-dir", self.folder.name)
        path = os.path.join(self.folder.name, "evaluations.csv")
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
        self.assertEqual(output("status", "--run-dir", self.folder.name), text)

    def test_a_picture_beyond_the_largest_file_allowed(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        done = run_with({"preexec_fn": limit}, "plot", "--run-dir", self.folder.name)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, r"\Apompc plot: [^\n]*learning_curve.svg[^\n]*File too large\n\Z")


if __name__ == "__main__":
    unittest.main()
