#!/usr/bin/env python3
"""pompc.track: which numbers of a run go where, to trackers that are stood in for, and to those that are installed."""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))
sys.path.insert(0, str(HERE.parent / "support"))
from needs import needs

needs("grpc", "google.protobuf", "numpy")

import pompc.track
from pompc import Failed, Refused, limits

CONFIG = 'seed: 7\nenv {\n  task: "cartpole-swingup"\n}\n' + "learner {\n" + "".join(
    f"  number_{i}: {i}\n" for i in range(150)) + "}\n"


class Collecting:
    """A tracker of one's own."""

    def __init__(self):
        self.points, self.closed = [], 0

    def log(self, update, values):
        self.points.append((update, values))

    def close(self):
        self.closed += 1


class TrackTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name) / "run"
        self.folder.mkdir()
        (self.folder / "run.json").write_text(json.dumps({"run_id": "the-run", "learner_incarnation": 1}))
        (self.folder / "config.textproto").write_text(CONFIG)
        self.write("metrics.csv", "update,rows,total_loss,value", "100,50,2.5,nan", "200,100,1.5,inf")
        self.write("timings.csv", "update,elapsed_seconds,rows_per_second", "100,1.5,30")
        self.write("evaluations.csv", "evaluation_id,version,rows,updates,return_mean", "1,1.2,90,180,700.5")

    def write(self, name, *lines):
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def test_every_row_of_the_tables_is_a_point(self):
        sink = Collecting()
        self.assertEqual(pompc.track.follow(self.folder, sink, once=True), 4)
        self.assertEqual(sink.points, [
            (100, {"update/rows": 50.0, "update/total_loss": 2.5}), (200, {"update/rows": 100.0, "update/total_loss": 1.5}),
            (100, {"run/elapsed_seconds": 1.5, "run/rows_per_second": 30.0}),
            (180, {"evaluation/evaluation_id": 1.0, "evaluation/rows": 90.0, "evaluation/return_mean": 700.5})])
        self.assertEqual(sink.closed, 1)

    def test_a_run_that_goes_on_is_followed_to_its_end_and_no_row_is_told_twice(self):
        folder = self.folder

        class Growing(Collecting):
            def log(self, update, values):
                super().log(update, values)
                if len(self.points) == 4:  # the run makes a row more, and ends
                    with open(folder / "metrics.csv", "a") as file:
                        file.write("300,150,0.5,1\n")
                    (folder / "ended.json").write_text("{}")
        sink = Growing()
        self.assertEqual(pompc.track.follow(folder, sink, seconds=0.01), 5)
        self.assertEqual(sink.points[-1], (300, {"update/rows": 150.0, "update/total_loss": 0.5, "update/value": 1.0}))

    def test_a_learner_is_asked_for_its_status(self):
        result = {"evaluation_id": 1, "version": "1.2", "rows": 9, "updates": 8, "return_mean": 5.0}
        status = {"phase": "TRAINING", "updates": 10, "rows": 20, "rows_per_second": 3.0, "updates_per_second": 1.5,
                  "episodes": 2, "training_return_mean": None, "evaluations": [result]}
        run = pompc.Run("127.0.0.1:9")
        states = iter([status, {**status, "updates": 11, "evaluations": [result, result], "phase": "FINISHED"}])

        def next_status():
            try:
                return next(states)
            except StopIteration:  # the run is over, and so is its learner
                raise Failed("gone") from None
        run.status = next_status
        sink = Collecting()
        pompc.track.follow(run, sink, seconds=0.01)
        self.assertEqual([update for update, _ in sink.points], [10, 8, 11, 8])
        self.assertEqual(sink.points[0][1], {"run/rows": 20, "run/rows_per_second": 3, "run/updates_per_second": 1.5,
                                             "run/episodes": 2})

    def asked(self, *answers):
        """The run of a learner that answers so, one after the other; None: it does not."""
        run, left = pompc.Run("127.0.0.1:9"), list(answers)
        status = {"updates": 10, "rows": 20, "rows_per_second": None, "updates_per_second": None, "episodes": 2,
                  "training_return_mean": None, "evaluations": []}

        def next_status():
            phase = left.pop(0)
            if phase is None:
                raise Failed("127.0.0.1:9: UNAVAILABLE: nobody is there")
            return {**status, "phase": phase}
        run.status = next_status
        return run, left

    def test_a_learner_that_does_not_answer_for_a_while_is_asked_again(self):
        with unittest.mock.patch.object(limits, "TRACK_TRIES", 3):
            sink = Collecting()
            run, left = self.asked(None, None, "TRAINING", None, None, "TRAINING", "FINISHED", None)
            self.assertEqual(pompc.track.follow(run, sink, seconds=0.001), 3)
            self.assertEqual((left, sink.closed), ([], 1))
            run, left = self.asked("TRAINING", None, None, None, "TRAINING")
            sink = Collecting()
            with self.assertRaisesRegex(Failed, "did not answer 3 times in a row, so nothing more is tracked: .*nobody "
                                        "is there. What it made is in the run's directory"):
                pompc.track.follow(run, sink, seconds=0.001)
            self.assertEqual((len(left), len(sink.points), sink.closed), (1, 1, 1))
        run, _ = self.asked(None)
        with self.assertRaisesRegex(Failed, "the learner did not answer, so"):
            pompc.track.follow(run, Collecting(), once=True)

    def test_a_line_that_is_being_written_is_no_row_yet(self):
        with open(self.folder / "metrics.csv", "a") as file:
            file.write("300,15")
        sink = Collecting()
        self.assertEqual(pompc.track.follow(self.folder, sink, once=True), 4)
        self.assertEqual({update for update, _ in sink.points}, {100, 180, 200})

    def test_mlflow_gets_parameters_in_parts_and_metrics_by_update(self):
        mlflow = unittest.mock.MagicMock()
        with unittest.mock.patch.dict(sys.modules, {"mlflow": mlflow}):
            pompc.track.follow(self.folder, "mlflow", once=True, experiment="mine")
        mlflow.set_experiment.assert_called_once_with("mine")
        mlflow.start_run.assert_called_once_with(run_name="the-run")
        parts = [call.args[0] for call in mlflow.log_params.call_args_list]
        self.assertEqual([len(part) for part in parts], [100, 52])
        self.assertEqual(parts[0]["env.task"], "cartpole-swingup")
        mlflow.log_metrics.assert_any_call({"update/rows": 50.0, "update/total_loss": 2.5}, step=100)
        mlflow.end_run.assert_called_once_with()

    def test_weights_and_biases_get_the_update_as_a_number(self):
        wandb = unittest.mock.MagicMock()
        with unittest.mock.patch.dict(sys.modules, {"wandb": wandb}):
            pompc.track.follow(self.folder, "wandb", once=True)
        self.assertEqual(wandb.init.call_args.kwargs["name"], "the-run")
        self.assertEqual(wandb.init.call_args.kwargs["config"]["seed"], "7")
        run = wandb.init.return_value
        run.define_metric.assert_called_once_with("*", step_metric="update")
        run.log.assert_any_call({"update": 180, "evaluation/evaluation_id": 1.0, "evaluation/rows": 90.0,
                                 "evaluation/return_mean": 700.5})
        run.finish.assert_called_once_with()

    def test_what_a_tracker_does_not_take_at_once_is_given_to_it_again(self):
        for failures, taken in ((2, True), (3, False)):
            sink, left = Collecting(), ["the disk is full"] * failures

            def log(update, values, sink=sink, left=left):
                if left:
                    raise RuntimeError(left.pop())
                Collecting.log(sink, update, values)
            sink.log = log
            with self.subTest(failures=failures), unittest.mock.patch.object(limits, "SINK_TRIES", 3), \
                    unittest.mock.patch.object(limits, "RETRY_SECONDS", 0):
                if taken:
                    self.assertEqual(pompc.track.follow(self.folder, sink, once=True), 4)
                else:
                    with self.assertRaisesRegex(Failed, "numbers of update 100 3 times in a row, .*: the disk is full"):
                        pompc.track.follow(self.folder, sink, once=True)
                self.assertEqual((len(sink.points), sink.closed), (4 if taken else 0, 1))

    def test_what_is_not_there_is_refused(self):
        for name in ("mlflow", "wandb"):
            with unittest.mock.patch.dict(sys.modules, {name: None}), \
                    self.assertRaisesRegex(Refused, f"pip install {name}"):
                pompc.track.follow(self.folder, name, once=True)
        with self.assertRaisesRegex(Refused, "no tracker 'tensorboard': mlflow, wandb"):
            pompc.track.follow(self.folder, "tensorboard")
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            self.assertEqual(pompc.track.main([str(self.folder.parent), "--to", "wandb"]), 2)
        self.assertIn("is not the directory of a run", stderr.getvalue())

    def test_a_file_of_the_run_that_cannot_be_read_is_named(self):
        for name, content, words in (("run.json", b"{}", "run.json is damaged: it names no run_id"),
                                     ("run.json", b"{", "run.json is damaged: it names no run_id"),
                                     ("run.json", b"\xff", "run.json is no text: .*decode"),
                                     ("learner.json", b"[]", "learner.json is damaged: it names no address"),
                                     ("metrics.csv", b"update\n\xff\n", "metrics.csv is no text: .*decode"),
                                     ("config.textproto", None, "config.textproto: No such file")):
            with self.subTest(name=name, content=content):
                path = self.folder / name
                before = path.read_bytes() if path.exists() else None
                path.unlink(missing_ok=True)
                if content is not None:
                    path.write_bytes(content)
                with contextlib.redirect_stderr(io.StringIO()) as stderr, \
                        unittest.mock.patch.dict(sys.modules, {"mlflow": unittest.mock.MagicMock()}):
                    self.assertEqual(pompc.track.main([str(self.folder), "--to", "mlflow", "--once"]), 1)
                self.assertRegex(stderr.getvalue(), words)
                path.unlink(missing_ok=True)
                if before is not None:
                    path.write_bytes(before)

    def test_a_setting_of_another_tracker_is_refused(self):
        for to, setting, own in (("wandb", "experiment", "project"), ("mlflow", "project", "experiment")):
            with contextlib.redirect_stderr(io.StringIO()) as stderr:
                self.assertEqual(pompc.track.main([str(self.folder), "--to", to, f"--{setting}", "x", "--once"]), 2)
            self.assertEqual(stderr.getvalue(),
                             f"pompc.track: {to} has no setting '{setting}': '{own}' is its only one\n")

    def test_a_tracker_that_does_not_begin_ends_the_program_with_a_line(self):
        mlflow = unittest.mock.MagicMock()
        mlflow.start_run.side_effect = RuntimeError("no such server")
        with unittest.mock.patch.dict(sys.modules, {"mlflow": mlflow}), \
                contextlib.redirect_stderr(io.StringIO()) as stderr:
            self.assertEqual(pompc.track.main([str(self.folder), "--to", "mlflow", "--once"]), 1)
        self.assertEqual(stderr.getvalue(), "pompc.track: mlflow did not begin a run: no such server\n")

    def installed(self, name):
        if importlib.util.find_spec(name) is None:
            self.skipTest(f"{name} is not installed (pip install {name})")

    def test_mlflow_itself(self):
        self.installed("mlflow")
        import mlflow
        with unittest.mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": f"sqlite:///{self.folder.parent}/mlflow.db"}):
            mlflow.set_tracking_uri(f"sqlite:///{self.folder.parent}/mlflow.db")
            pompc.track.follow(self.folder, "mlflow", once=True, experiment="mine")
            (run,) = mlflow.search_runs(experiment_names=["mine"], output_format="list")
            self.assertEqual(run.data.metrics["evaluation/return_mean"], 700.5)
            self.assertEqual(run.data.params["env.task"], "cartpole-swingup")
            history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "update/total_loss")
            self.assertEqual([(point.step, point.value) for point in history], [(100, 2.5), (200, 1.5)])

    def test_weights_and_biases_themselves_offline(self):
        self.installed("wandb")
        with unittest.mock.patch.dict(os.environ, {"WANDB_MODE": "offline", "WANDB_DIR": str(self.folder.parent),
                                                   "WANDB_SILENT": "true"}):
            pompc.track.follow(self.folder, "wandb", once=True)
        self.assertTrue(list((self.folder.parent / "wandb").glob("offline-run-*/*.wandb")))


if __name__ == "__main__":
    unittest.main()
