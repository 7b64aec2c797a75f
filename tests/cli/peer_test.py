"""pompc and the PyTorch peer (bench/peers) compute the same numbers: predictions, targets, losses, gradients."""

import os
import subprocess
import sys
import tempfile
import unittest

from program import BUILD, POMPC

FROZEN_RUN = os.path.join(BUILD, "tests", "learner_frozen_run")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench", "peers"))

try:
    import numpy
    import torch
except ImportError as error:
    print(f"skipped: {error.name} is not installed (Debian: python3-torch, python3-numpy)")
    sys.exit(77)

import compare  # pylint: disable=wrong-import-position

UPDATES = "20"


class PeerTest(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def checkpoint(self, *overrides):
        # A higher rate brings the networks away from their beginnings, where half of them are zero.
        subprocess.run([FROZEN_RUN, self.folder, UPDATES, "0", "learner.learning_rate=0.003", *overrides], check=True,
                       capture_output=True, timeout=100)
        return os.path.join(self.folder, f"update-{int(UPDATES):09d}")

    def agrees(self, *overrides):
        checkpoint = self.checkpoint(*overrides)
        for seed in (1, 2):
            ours, _, problems = compare.compare(POMPC, checkpoint, seed)
            self.assertEqual(problems, {}, f"{overrides}, seed {seed}")
            self.assertGreater(len(ours), 60)
            # Nothing that is compared is trivially equal.
            for name in ("loss.policy", "loss.value", "value_targets", "sequence_values", "predicted_rewards"):
                self.assertGreater(numpy.abs(ours[name]).max(), 1e-3, name)

    def test_defaults(self):
        self.agrees()

    def test_reverse_kl_literal_weights_and_sums(self):
        self.agrees("po_mpc.prior_kl=REVERSE", "po_mpc.actor_weights=LITERAL", "po_mpc.lambda=0.3")

    def test_mixed_weights_and_means(self):
        self.agrees("po_mpc.actor_weights=MIX", "po_mpc.kl_reduction=MEAN")

    def test_stored_plans_by_their_age(self):
        self.agrees("po_mpc.prior=REPLAY", "po_mpc.plan_half_life_versions=5")

    def test_a_squashed_policy_and_prior(self):
        self.agrees("model.policy_form=TANH_GAUSSIAN", "po_mpc.prior_gate=VALUE", "po_mpc.plan_half_life_versions=5")

    def test_a_squashed_policy_and_stored_plans(self):
        self.agrees("model.policy_form=TANH_GAUSSIAN", "po_mpc.prior=REPLAY", "po_mpc.target_horizon=WINDOW_END")

    def test_state_values(self):
        self.agrees("model.value_form=STATE_VALUES", "po_mpc.alpha=1", "po_mpc.prior=REPLAY",
                    "po_mpc.target_value_reduction=AVERAGE", "po_mpc.kl_reduction=MEAN")

    def test_targets_at_the_end_of_the_window(self):
        self.agrees("po_mpc.target_horizon=WINDOW_END", "po_mpc.regularized_value_gradient=true", "learner.rho=0.8")

    def test_without_a_prior(self):
        self.agrees("po_mpc.lambda=0")

    def test_imitation(self):
        self.agrees("po_mpc.alpha=1")

    def test_without_termination(self):
        self.agrees("env.spec.terminates=false")

    def test_a_change_of_one_weight_is_found(self):
        checkpoint = self.checkpoint()
        ours, theirs, _ = compare.compare(POMPC, checkpoint)
        theirs["loss.policy"] = theirs["loss.policy"] * 1.001
        theirs["gradient_norm.q.0.weight"] = theirs["gradient_norm.q.0.weight"] + 1e-3
        del theirs["latents"]
        self.assertEqual(set(compare.differences(ours, theirs)), {"loss.policy", "gradient_norm.q.0.weight", "latents"})


if __name__ == "__main__":
    unittest.main()
