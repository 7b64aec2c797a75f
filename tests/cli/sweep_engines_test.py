"""pompc sweep's objects of other engines: what they start for a trial, with a stand-in for the program that trains."""

import os
import shutil
import subprocess
import sys
import unittest

from program import run
from sweep_fixture import PATIENCE_SECONDS, SweepTest


class SlurmTest(SweepTest):
    def test_a_job_array_makes_the_trials_and_collect_keeps_them(self):
        self.write('setting { name: "one" }\nsetting { name: "two" }\nseeds: "1-2"')
        done = run("sweep", "slurm", *self.words("--jobs", "2")[1:])
        self.assertEqual(done.returncode, 0, done)
        script = self.dir / "slurm.sh"
        self.assertIn(f"sbatch {script}", done.stdout)
        text = script.read_text()
        self.assertIn("#SBATCH --array=1-4%2\n", text)
        self.assertIn("#SBATCH --job-name=pompc-test\n", text)

        def element(number):
            # As Slurm runs one.
            subprocess.run(["bash", str(script)], env={**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}, check=True,
                           timeout=PATIENCE_SECONDS)

        element(2)
        element(2)
        self.assertEqual(self.starts(), ["two cartpole-swingup 1 anew"], "a finished one does nothing")
        done = run("sweep", "collect", str(self.dir))
        self.assertIn("1 trials more are finished; 1 trials finished", done.stdout)
        self.run_dir("one").mkdir()
        element(1)
        self.assertEqual(self.starts()[1], "one cartpole-swingup 1 anew", "in LOCKSTEP what is half done begins anew")
        # The rest here.
        self.sweep()
        self.assertEqual(len(self.starts()), 4)
        self.assertEqual(len(self.rows()), 4)
        self.assertIn("all trials are finished", run("sweep", "slurm", *self.words()[1:]).stderr)

    def test_rounds_are_refused(self):
        self.write('seeds: "1-2" halving { seeds: 1 seeds: 2 }')
        done = run("sweep", "slurm", *self.words()[1:])
        self.assertEqual(done.returncode, 1)
        self.assertIn("halving: slurm has no rounds", done.stderr)


class WorkersTest(SweepTest):
    """trial.sh all, as the containers of Compose and of Swarm start it."""

    def setUp(self):
        super().setUp()
        self.write('setting { name: "one" }\nsetting { name: "two" }\nseeds: "1-2" retries: 1')

    def prepare(self, engine="slurm"):
        words = self.words("--jobs", "3")
        if engine != "slurm":
            words += ["--image", "registry.example/pompc:1"]
        done = run("sweep", engine, *words[1:])
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def worker(self):
        worker = subprocess.Popen(["bash", str(self.dir / "trial.sh"), "all"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(worker.communicate)
        self.addCleanup(lambda: worker.poll() is None and worker.kill())
        return worker

    def test_workers_make_each_trial_once(self):
        self.prepare()
        for worker in [self.worker() for _ in range(3)]:
            self.assertEqual(worker.wait(PATIENCE_SECONDS), 0)
        self.assertEqual(len(self.starts()), 4)
        self.assertIn("4 trials more are finished", run("sweep", "collect", str(self.dir)).stdout)

    def test_a_trial_that_fails_is_tried_again_and_holds_up_no_other(self):
        self.behave("one", "fail")
        self.prepare()
        self.assertEqual(self.worker().wait(PATIENCE_SECONDS), 1)
        self.assertEqual(sorted(line.split()[0] for line in self.starts()), ["one"] * 4 + ["two"] * 2)
        self.assertIn("2 trials more are finished", run("sweep", "collect", str(self.dir)).stdout)

    def test_a_worker_that_is_told_to_end_ends_its_trial_first(self):
        self.behave("one", "slow")
        self.prepare()
        worker = self.worker()
        pid = self.await_trial("one")
        worker.terminate()
        self.assertEqual(worker.wait(PATIENCE_SECONDS), 143)
        self.await_end(pid)
        self.assertTrue((self.run_dir("one") / "stopped").exists())
        self.assertEqual(len(self.starts()), 1)

    def test_objects_say_what_engines_need(self):
        self.assertIn(f"docker-compose -p pompc-test -f {self.dir}/compose.yaml up -d --scale trials=3",
                      self.prepare("compose"))
        self.assertIn("  pompc train --run-dir", (self.dir / "trial.sh").read_text())
        text = (self.dir / "compose.yaml").read_text()
        self.assertIn("image: registry.example/pompc:1\n", text)
        self.assertIn(f'volumes: ["{self.dir}:/sweep"]', text)
        self.assertIn(f'user: "{os.geteuid()}:{os.getegid()}"', text)
        self.assertIn(f"bash {self.dir}/swarm.sh", self.prepare("swarm"))
        self.assertIn("--mode replicated-job --replicas 3 ", (self.dir / "swarm.sh").read_text())
        self.assertIn(f"kubectl apply -f {self.dir}/kubernetes.yaml", self.prepare("kubernetes"))
        text = (self.dir / "kubernetes.yaml").read_text()
        for line in ("completions: 4", "parallelism: 3", "backoffLimit: 4", "subPath: test"):
            self.assertIn(line, text)

    def test_kubernetes_takes_the_job(self):
        try:
            import kubernetes_validate
            import yaml
        except ImportError as missing:
            self.skipTest(f"{missing.name} is not installed (scripts/kubernetes-check.sh installs it)")
        self.prepare("kubernetes")
        job = yaml.safe_load((self.dir / "kubernetes.yaml").read_text())
        for version in ("1.28", "1.32"):
            kubernetes_validate.validate(job, version, strict=True)

    def test_compose_takes_the_file(self):
        if not shutil.which("docker-compose"):
            self.skipTest("docker-compose is not installed")
        self.prepare("compose")
        done = subprocess.run(["docker-compose", "-f", str(self.dir / "compose.yaml"), "config"], capture_output=True,
                              text=True, check=False, timeout=PATIENCE_SECONDS)
        self.assertEqual(done.returncode, 0, done)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
