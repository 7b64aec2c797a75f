"""pompc sweep's objects of other engines: what they start for a trial, with a stand-in for the program that trains."""

import os
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
        self.assertIn("halving: a job array has no rounds", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
