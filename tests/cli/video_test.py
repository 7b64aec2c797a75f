"""pompc evaluate --video: what stands in its way, and a film of a small run's first episode."""

import os
import shutil
import subprocess
import tempfile
import unittest

from program import run

# Episodes of ten decisions of one second each.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=30",
         "--set", "evaluation.every_rows=1000", "--set", "stop.return_mean=0", "--set", "stop.max_rows=100"]


class RefusedVideoTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def refused(self, status, texts, *arguments, video="film.mp4", **environment):
        done = run("evaluate", "--run-dir", self.folder, "--video", os.path.join(self.folder, video), *arguments,
                   **environment)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_other_endings_are_refused_with_those_there_are(self):
        self.refused(2, ["--video", "film.avi", ".mp4, .mkv, .webm, .gif"], video="film.avi")

    def test_sizes_out_of_range_are_refused_with_the_range(self):
        for size in ("640", "8x8", "641x480", "9000x480", "big"):
            self.refused(2, ["--video-size", size, "16 to 2048", "even"], "--video-size", size)

    def test_size_without_video_is_refused(self):
        done = run("evaluate", "--run-dir", self.folder, "--video-size", "640x480")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("--video", done.stderr)

    def test_without_egl_the_error_says_what_to_install(self):
        self.refused(1, ["libnot-there.so", "libegl1"], POMPC_EGL_LIBRARY="libnot-there.so")

    def test_without_ffmpeg_or_egl_the_error_says_what_to_install(self):
        self.refused(1, ["apt-get install"], PATH="/nowhere")


class VideoTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        missing = [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]
        if missing:
            raise unittest.SkipTest("no " + " and ".join(missing) + " here")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.run_dir = os.path.join(cls.folder.name, "run")
        done = run("train", "--run-dir", cls.run_dir, *SMALL)
        assert done.returncode == 0, done

    def film(self, name, *arguments):
        path = os.path.join(self.folder.name, name)
        done = run("evaluate", "--run-dir", self.run_dir, "--episodes", "2", "--video", path, *arguments)
        if "pictures cannot be drawn" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(sorted(os.listdir(self.folder.name)), sorted({"run", name}))
        self.addCleanup(os.remove, path)
        return path, done.stdout

    def probe(self, path):
        """Width, height, pictures a second as a fraction, and number of pictures."""
        done = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-show_entries",
                               "stream=width,height,r_frame_rate,nb_read_frames", "-of", "csv=p=0", path],
                              capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip().split(",")

    def test_a_picture_of_the_start_and_of_every_decision_at_the_simulated_speed(self):
        path, text = self.film("film.mp4", "--video-size", "160x120")
        self.assertEqual(self.probe(path), ["160", "120", "1/1", "11"])
        self.assertIn("11 pictures of 160x120, 1 a second", text)
        self.assertIn("mean return", text)

    def test_default_size(self):
        path, _ = self.film("film.mkv")
        self.assertEqual(self.probe(path)[:2], ["640", "480"])

    def test_webm(self):
        self.assertEqual(self.probe(self.film("film.webm", "--video-size", "64x48")[0])[3], "11")

    def test_gif(self):
        self.assertEqual(self.probe(self.film("film.gif", "--video-size", "64x48")[0])[3], "11")


if __name__ == "__main__":
    unittest.main()
