"""pompc sweep with a stand-in for the program that trains: which trials it makes, what it keeps of them, what happens
when it or they are stopped or killed; and with pompc itself: a sweep that was killed gives the report of one that was
not."""

import os
import pathlib
import shutil
import signal
import sys
import time
import unittest

from program import POMPC, run
from sweep_fixture import BASE, PATIENCE_SECONDS, SMALL, SweepTest

class RunTest(SweepTest):
    AXIS = 'axis { field: "learner.batch_size" value: "16" value: "32" }\n'

    def test_makes_each_trial_once_and_keeps_what_came_of_it(self):
        self.write(self.AXIS + 'seeds: "3"')
        self.sweep()
        self.write(self.AXIS + 'seeds: "3-4"')
        done = self.sweep("--jobs", "2", "--nice", "3")
        self.assertIn("4 of 4: ", done.stdout)
        self.assertEqual([line.split()[::2] for line in self.starts()[:2]],
                         [["batch_size=16", "3"], ["batch_size=32", "3"]])
        self.assertEqual(len(self.starts()), 4)
        self.assertEqual(self.trials(), [("batch_size=16", "3"), ("batch_size=32", "3"), ("batch_size=16", "4"),
                                         ("batch_size=32", "4")])
        row = self.rows()[1]
        # By rows 600, 1200, 1800.
        self.assertEqual([row[name] for name in ("rows", "frames", "updates", "return_last", "return_curve",
                                                 "return_best", "policy_prior_kl", "max_policy_prior_kl", "prior_std")],
                         ["80", "320", "40", "1500", "1200", "1800", "3.5", "4", ""])
        self.assertEqual(row["flags"], "--preset quickstart --set schedule=LOCKSTEP --set learner.batch_size=32")
        words = (self.run_dir("batch_size=32", 3) / "words").read_text()
        self.assertEqual(words, f"train --run-dir {self.run_dir('batch_size=32', 3)} --config "
                                f"{self.run_dir('batch_size=32', 3)}.textproto --plan-threads 1")
        curves = self.rows("curves.csv")
        self.assertEqual([(row["seed"], row["rows"], row["return_mean"]) for row in curves[:3]],
                         [("3", "100", "300"), ("3", "200", "600"), ("3", "300", "900")])
        # Rows 20 to 80 of metrics.csv came before the first evaluation.
        self.assertEqual([row["policy_prior_kl"] for row in curves[:3]], ["2.5", "", ""])
        page = (self.dir / "status.html").read_text()
        self.assertIn("<polyline", page)
        self.assertNotIn("refresh", page, "the sweep has ended")

    def test_halving_gives_more_seeds_to_the_better_half(self):
        self.write('axis { field: "learner.batch_size" value: "16" value: "17" value: "32" value: "18" }\n'
                   'seeds: "1-3" halving { seeds: 1 seeds: 3 pin_first: false keep: 0.25 }')
        done = self.sweep("--jobs", "2")
        self.assertIn("after 1 seeds 1 of 4 settings go on: batch_size=32", done.stdout)
        self.assertEqual(sorted(self.trials()), [("batch_size=16", "1"), ("batch_size=17", "1"), ("batch_size=18", "1"),
                                                 ("batch_size=32", "1"), ("batch_size=32", "2"),
                                                 ("batch_size=32", "3")])
        self.assertIn("dropped", run("sweep", "status", str(self.dir)).stdout)

    def test_a_failure_is_tried_again_and_listed_when_it_stays(self):
        self.write(self.AXIS + 'retries: 1')
        self.behave("batch_size=16", "fail")
        self.behave("batch_size=32", "once")
        done = self.sweep(status=1)
        self.assertIn("batch_size=16, cartpole-swingup, seed 1: ended with status 1; its log is", done.stdout)
        self.assertIn("1 trials have failed", done.stderr)
        self.assertEqual(self.trials(), [("batch_size=32", "1")])
        self.assertEqual(len(self.starts()), 4)
        status = run("sweep", "status", str(self.dir)).stdout
        self.assertRegex(status, r"(?m)^ *batch_size=16 .* failed .* 2$")
        self.assertIn("  this one fails", status)
        self.assertIn("this one fails", (self.dir / "status.html").read_text())
        # Those that have failed get another chance when somebody asks for it.
        self.behave("batch_size=16", "")
        done = run("sweep", "resume", str(self.dir), "--program", str(self.program))
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(len(self.rows()), 2)
        self.assertNotIn("this one fails", run("sweep", "status", str(self.dir)).stdout)

    def test_a_run_without_an_evaluation_is_a_failure(self):
        self.write('retries: 0')
        self.behave("base", "silent")
        self.assertIn("ended without an evaluation", self.sweep(status=1).stdout)

    def test_a_trial_that_someone_else_ends_is_tried_again(self):
        self.write('retries: 1')
        self.behave("base", "slow")
        sweep = self.start()
        pid = self.await_trial("base")
        self.behave("base", "")
        os.kill(pid, signal.SIGTERM)
        stdout, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 0, stderr)
        self.assertIn("ended before its goal or limit: interrupted", stdout)
        self.assertEqual(len(self.rows()), 1)

    def test_a_program_that_is_not_there_ends_the_sweep(self):
        self.write("")
        self.program = self.folder / "absent"
        self.assertIn("there is no program", self.sweep(status=1).stderr)

    def test_a_second_sweep_in_the_folder_is_refused(self):
        self.write("")
        self.behave("base", "slow")
        sweep = self.start()
        self.await_trial("base")
        self.assertIn("is locked by process", self.sweep(status=1).stderr)
        self.assertIn("base", run("sweep", "status", str(self.dir)).stdout)
        sweep.terminate()
        sweep.communicate(timeout=PATIENCE_SECONDS)


class WaitingTest(SweepTest):
    def test_says_what_each_running_trial_waits_for(self):
        self.write('setting { name: "one" }\nsetting { name: "two" }')
        self.behave("two", "slow")
        sweep = self.start()
        self.await_trial("two")
        status = run("sweep", "status", str(self.dir)).stdout
        self.assertIn("two, cartpole-swingup, seed 1: waiting for rows 75 %, updating 25 %; "
                      "the learner waits for <rows>\n", status)
        self.assertNotIn("one, cartpole-swingup, seed 1: ", status)
        page = self.dir / "status.html"
        link = '<a href="http://127.0.0.1:1234/">running</a>'
        self.await_true("the page", lambda: link in page.read_text())
        self.assertIn('<td class="words">waiting for rows 75 %, updating 25 %</td>'
                      '<td class="words">the learner waits for &lt;rows&gt;</td>', page.read_text())
        sweep.terminate()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertNotIn("waits for", page.read_text())


class StopTest(SweepTest):
    def setUp(self):
        super().setUp()
        self.write('setting { name: "one" }\nsetting { name: "two" }')
        self.behave("one", "slow")

    def expect_interrupted(self, sweep, pid, by):
        stdout, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 0, stderr)
        self.assertIn(f"{by}: stopping with checkpoints", stdout)
        self.assertIn("one, cartpole-swingup, seed 1: interrupted, not recorded", stdout)
        self.assertIn(f"resume with: pompc sweep resume {self.dir}", stdout)
        self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())
        self.assertFalse((self.dir / "results.csv").exists())
        self.assertFalse(self.run_dir("two").exists(), "a trial began after the signal")
        self.assertRegex(run("sweep", "status", str(self.dir)).stdout, "(?m)^ *one .* interrupted ")

    def test_signals_end_the_sweep_and_record_no_unfinished_trial(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                sweep = self.start()
                pid = self.await_trial("one")
                os.killpg(sweep.pid, number)
                self.expect_interrupted(sweep, pid, f"told to end by {number.name}")
                (self.run_dir("one") / "pid").unlink()
        # In LOCKSTEP a trial begins anew each time.
        self.assertEqual({line.split()[-1] for line in self.starts()}, {"anew"})

    def test_stop_asks_it_to_end(self):
        done = run("sweep", "stop", str(self.folder))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no sweep here", done.stderr)
        sweep = self.start()
        pid = self.await_trial("one")
        self.assertEqual(run("sweep", "stop", str(self.dir)).returncode, 0)
        self.expect_interrupted(sweep, pid, "told to end by pompc sweep stop")
        self.assertIn("no process runs this sweep", run("sweep", "stop", str(self.dir)).stderr)
        self.behave("one", "")
        self.sweep()
        self.assertEqual(self.trials(), [("one", "1"), ("two", "1")])

    def test_a_second_signal_ends_trials_that_do_not_stop(self):
        self.behave("one", "deaf")
        sweep = self.start()
        pid = self.await_trial("one")
        sweep.send_signal(signal.SIGHUP)
        self.await_true("SIGTERM has come", (self.run_dir("one") / "stopped").exists)
        # A terminal that closes sends it twice.
        sweep.send_signal(signal.SIGHUP)
        sweep.send_signal(signal.SIGTERM)
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 128 + signal.SIGTERM)
        self.await_end(pid)

    def test_trials_do_not_outlive_a_sweep_that_is_killed(self):
        self.behave("one", "deaf")
        sweep = self.start("--jobs", "2")
        pid = self.await_trial("one")
        self.await_true("two is recorded", (self.dir / "results.csv").exists)
        sweep.kill()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.await_end(pid)
        self.assertRegex(run("sweep", "status", str(self.dir)).stdout, "(?m)^ *one .* interrupted ")
        self.behave("one", "")
        self.sweep()
        self.assertEqual(self.trials(), [("one", "1"), ("two", "1")])
        self.assertEqual(sorted(line.split()[0] for line in self.starts()), ["one", "one", "two"])

    def test_a_concurrent_trial_is_resumed_and_a_finished_one_recorded(self):
        self.write('setting { name: "one" }', base=BASE.replace("LOCKSTEP", "CONCURRENT"))
        sweep = self.start()
        self.await_trial("one")
        sweep.terminate()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.behave("one", "")
        self.sweep()
        self.assertEqual([line.split()[-1] for line in self.starts()], ["anew", "resumed"])
        # The sweep was killed just before it could record the trial.
        for file in self.dir.glob("*.csv"):
            file.unlink()
        self.sweep()
        self.assertEqual(len(self.starts()), 2)
        self.assertEqual(self.trials(), [("one", "1")])


class ChangedTest(SweepTest):
    def test_a_finished_trial_does_not_stand_for_a_changed_setting(self):
        self.write('setting { name: "one" set: "learner.utd=1" }\nsetting { name: "two" }')
        self.sweep()
        before = (self.dir / "results.csv").read_text()
        self.write('setting { name: "one" set: "learner.utd=2" }\nsetting { name: "two" }\nseeds: "1-2"')
        done = self.sweep(status=2)
        self.assertIn("setting one, cartpole-swingup, seed 1 was begun with another config (learner.utd: 1 before, 2 now",
                      done.stderr)
        self.assertIn(f"remove {self.dir}/trials/one", done.stderr)
        self.assertEqual((self.dir / "results.csv").read_text(), before)
        # Results alone, as they are kept for good, tell their flags.
        shutil.rmtree(self.dir / "trials")
        self.assertIn("has other flags than in results.csv", self.sweep(status=2).stderr)
        self.write('setting { name: "other" set: "learner.utd=2" }\nsetting { name: "two" }')
        self.sweep()
        self.assertEqual([line.split()[0] for line in self.starts()], ["one", "two", "other"])
        self.assertEqual(self.trials(), [("other", "1"), ("two", "1"), ("one", "1")])

    def test_an_interrupted_trial_does_not_go_on_as_a_changed_setting(self):
        self.write("")
        self.behave("base", "slow")
        sweep = self.start()
        self.await_trial("base")
        sweep.terminate()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.write("budget { rows: 1077 }")
        self.assertIn("stop.max_rows: 60000 before, 1077 now", self.sweep(status=2).stderr)


class CheckTest(SweepTest):
    def check(self, *arguments):
        return run("sweep", "check", str(self.file), "--dir", str(self.dir), *arguments)

    def test_prints_trials_and_what_is_known_of_them(self):
        self.write('axis { field: "po_mpc.lambda" value: "0" value: "1" }\nseeds: "1-2" budget { frames: 4000 }')
        done = self.check()
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stdout, r"(?m)^ +4 +lambda=1 +cartpole-swingup +2 +1,000 +4,000 +LOCKSTEP$")
        self.assertIn("--preset quickstart --set schedule=LOCKSTEP --set po_mpc.lambda=1", done.stdout)
        self.assertIn("2 settings x 1 tasks x 2 seeds: 4 trials", done.stdout)
        self.assertIn("time and memory are not known before the first has finished", done.stdout)
        self.assertFalse(self.dir.exists())
        self.sweep("--jobs", "4")
        self.assertRegex(self.check("--jobs", "2").stdout, "4 trials finished.* about 0:00 with 2 at a time")

    def test_says_what_is_wrong(self):
        self.write('axis { field: "po_mpc.lambada" value: "0" }')
        done = self.check()
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean po_mpc.lambda?", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        done = run("sweep", "check", str(self.folder / "absent"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("absent", done.stderr)
        self.assertIn("sweep has the commands check, run, resume, status, stop, report, slurm, compose, swarm, kubernetes, collect", run("sweep").stderr)
        self.assertIn("no sweep here", run("sweep", "resume", str(self.folder)).stderr)


class ReportTest(SweepTest):
    def test_reports_a_folder_and_a_table(self):
        self.write('setting { name: "one" }\nsetting { name: "better" set: "learner.batch_size=32" }\nseeds: "1-3"')
        self.sweep()
        done = run("sweep", "report", str(self.dir), "--threshold", "250")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("| better | 3 | ", done.stdout)
        # 200, 400 and 600 of one and twice that.
        self.assertIn("| one | 400 [200, 600] (3) |", done.stdout)
        self.assertIn("| one | cartpole-swingup | 250 | 3 of 3 | 200 | 800 | 0.2 |", done.stdout)
        report = self.dir / "report"
        self.assertEqual(sorted(path.suffix for path in report.iterdir()),
                         [".csv"] * 6 + [".html", ".md"] + [".svg"] * 2)
        self.assertIn("prefers-color-scheme", (report / "report.html").read_text())
        table = run("sweep", "report", str(self.dir / "results.csv"))
        self.assertIn("| one | 400 [200, 600] (3) |", table.stdout)
        self.assertNotIn("How soon", table.stdout)
        self.assertEqual(run("sweep", "report", str(self.dir), "--threshold", "x").returncode, 2)
        self.assertIn("no sweep here", run("sweep", "report", str(self.folder)).stderr)


class KillTest(SweepTest):
    """With pompc itself."""

    def complete(self, folder):
        done = run("sweep", "run", str(self.file), "--dir", str(folder), "--jobs", "2")
        self.assertEqual(done.returncode, 0, done)
        done = run("sweep", "report", str(folder))
        self.assertEqual(done.returncode, 0, done)

    def test_a_killed_sweep_gives_the_report_of_one_that_was_not(self):
        self.file.write_text(SMALL)
        whole = self.folder / "whole"
        self.complete(whole)
        sweep = self.start("--jobs", "2", program=POMPC)
        # In the middle: some trials are finished, others have begun.
        results = self.dir / "results.csv"
        self.await_true("a finished trial", results.exists)
        begun = self.dir / "trials"
        self.await_true("a trial that has begun", lambda: len(list(begun.glob("*/*/seed-1"))) > len(self.rows()))
        sweep.kill()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertLess(len(self.rows()), 4)
        self.complete(self.dir)
        for name in ("results.csv", "curves.csv", *(f"report/{table}.csv" for table in
                                                    ("summary", "returns", "improvement", "thresholds", "profile"))):
            self.assertEqual((self.dir / name).read_bytes(), (whole / name).read_bytes(), name)
        self.assertEqual(len(self.rows()), 4)
        self.assertGreater(float(self.rows("times.csv")[-1]["peak_memory_mib"]), 10)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
