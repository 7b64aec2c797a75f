"""A checkpoint imported from the public TD-MPC2 program acts as that program does: for the same observations, previous
plans and random numbers, `pompc model plan` gives its actions and means. What the program computed is in
tests/data/tdmpc2_plans.safetensors, with a file's networks and the random numbers, so that this needs NumPy alone.

Usage: tdmpc2_actions_test.py BUILD_FOLDER [--program DIR [--write]]

--program names a clone of the program, whose own functions then compute the numbers anew, for the random numbers that
pompc draws (this needs PyTorch and tensordict); --write makes the file of them."""

import contextlib
import importlib.util
import io
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

WRITE = "--write" in sys.argv
PROGRAM = sys.argv[sys.argv.index("--program") + 1] if "--program" in sys.argv else ""
BUILD = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

try:
    import numpy
except ImportError:
    print("skipped: NumPy is not installed (Debian: python3-numpy)")
    sys.exit(77)

import tensor_file  # pylint: disable=wrong-import-position

POMPC = BUILD / "bin" / "pompc"
DATA = ROOT / "tests" / "data" / "tdmpc2_plans.safetensors"
# Sizes of the networks, and settings of the planner, named as the program's config names them.
SIZES = {"enc_dim": 16, "mlp_dim": 16, "latent_dim": 16, "num_enc_layers": 2, "num_q": 3, "num_bins": 101,
         "simnorm_dim": 8, "dropout": 0.01, "action_dim": 2, "log_std_min": -10, "log_std_max": 2, "vmin": -10,
         "vmax": 10, "bin_size": 0.2, "multitask": False, "task_dim": 0, "obs": "state", "tau": 0.01}
PLANNER = {"horizon": 3, "iterations": 4, "num_samples": 64, "num_pi_trajs": 8, "num_elites": 8, "min_std": 0.05,
           "max_std": 2, "temperature": 0.5}
DISCOUNT = {"episode_length": 500, "discount_denom": 5, "discount_min": 0.95, "discount_max": 0.995}
OBSERVATION, PLANS = 5, 12
KINDS = {"continuing": False, "episodic": True}
TOLERANCE = 1e-4


def made_networks():
    """A file's content: random parameters at which nothing is trivially equal. The target is the ensemble itself."""
    random, state = numpy.random.default_rng(1), {}
    s = types.SimpleNamespace(**SIZES)

    def add(prefix, dims, last_normed, members=()):
        for i, (before, after) in enumerate(zip(dims, dims[1:])):
            def draw(*shape):
                return random.standard_normal((*members, *shape)).astype(numpy.float32)
            state[f"{prefix}.{i}.weight"] = draw(after, before) * numpy.float32(1.5 / before**0.5)
            state[f"{prefix}.{i}.bias"] = numpy.float32(0.1) * draw(after)
            if i + 2 < len(dims) or last_normed:
                state[f"{prefix}.{i}.ln.weight"] = 1 + numpy.float32(0.1) * draw(after)
                state[f"{prefix}.{i}.ln.bias"] = numpy.float32(0.1) * draw(after)
    joined, hidden = s.latent_dim + s.action_dim, [s.mlp_dim] * 2
    add("_encoder.state", [OBSERVATION] + [s.enc_dim] * max(s.num_enc_layers - 1, 1) + [s.latent_dim], True)
    add("_dynamics", [joined, *hidden, s.latent_dim], True)
    add("_reward", [joined, *hidden, s.num_bins], False)
    add("_termination", [s.latent_dim, *hidden, 1], False)
    add("_pi", [s.latent_dim, *hidden, 2 * s.action_dim], False)
    add("_Qs.params", [joined, *hidden, s.num_bins], False, (s.num_q,))
    return state


def made_states():
    """Inputs of `pompc model plan`: every second plan explores, two of three have a plan before them."""
    random = numpy.random.default_rng(2)
    shape = (PLANS, PLANNER["horizon"], SIZES["action_dim"])
    numbers = numpy.arange(PLANS)
    return {"observations": random.standard_normal((PLANS, OBSERVATION)).astype(numpy.float32), "seeds": 100 + numbers,
            "warm_start": random.uniform(-1, 1, shape).astype(numpy.float32), "has_warm_start": numbers % 3 > 0,
            "evaluate": numbers % 2 > 0}


def state_of(networks, episodic):
    """The file of a model of one kind, as the program names its tensors."""
    state = {name: array for name, array in networks.items() if episodic or not name.startswith("_termination")}
    state |= {name.replace("_Qs.params", "_target_Qs_params"): array for name, array in state.items()
              if name.startswith("_Qs.params")}
    low, high = SIZES["log_std_min"], SIZES["log_std_max"]
    return state | {"log_std_min": numpy.float32(low), "log_std_dif": numpy.float32(high - low)}


class Draws:
    """Puts pompc's random numbers for one plan in the place of PyTorch's, in the order in which the program draws."""

    def __init__(self, torch, noise, plan):
        self.torch = torch
        take = lambda name, axis: torch.from_numpy(numpy.take(noise[name], plan, axis))
        # The policy's actions decision by decision, then those behind each iteration's sequences.
        self.like = [*take("noise.policy", 0).unbind(1), *take("noise.last", 1)]
        # Candidates [decisions, sequences, numbers], then the exploration.
        self.normal = [*take("noise.samples", 1).transpose(1, 2), take("noise.exploration", 0)]
        self.members = list(take("noise.members", 1))
        uniform = take("noise.elite", 0)
        self.exponential = -(uniform + 2**-25).clamp(max=1 - 2**-24).log()

    def __enter__(self):
        def next_of(numbers):
            def draw(*shape, **_):
                drawn = numbers.pop(0)
                wanted = shape[0].shape if isinstance(shape[0], self.torch.Tensor) else shape
                assert tuple(drawn.shape) == tuple(wanted), (drawn.shape, wanted)
                return drawn
            return draw
        self.stack = contextlib.ExitStack()
        for owner, name, value in (
                (self.torch, "randn_like", next_of(self.like)), (self.torch, "randn", next_of(self.normal)),
                (self.torch, "randperm", lambda *_, **__: self.members.pop(0)),
                (self.torch.Tensor, "exponential_", lambda tensor: tensor.copy_(self.exponential.view(tensor.shape)))):
            before = getattr(owner, name)
            setattr(owner, name, value)
            self.stack.callback(setattr, owner, name, before)
        return self

    def __exit__(self, *_):
        self.stack.close()
        assert not self.like and not self.members, "every number was drawn"


def plans_of_program(networks, states, noise, episodic):
    """Actions [S, A] and means of whole plans [S, H, A] by the program's own functions."""
    import torch
    sys.path.insert(0, str(pathlib.Path(PROGRAM) / "tdmpc2"))
    import tdmpc2
    from common.world_model import WorldModel
    config = types.SimpleNamespace(**SIZES, **PLANNER, **DISCOUNT, episodic=episodic,
                                   obs_shape={"state": (OBSERVATION,)})
    model = WorldModel(config)
    own = model.state_dict()
    with torch.no_grad():
        for name, value in state_of(networks, episodic).items():
            own[name].copy_(torch.from_numpy(numpy.asarray(value)))
    model.eval()
    # Its constructor wants a GPU and makes optimisers; what plans needs neither.
    agent = tdmpc2.TDMPC2.__new__(tdmpc2.TDMPC2)
    torch.nn.Module.__init__(agent)
    agent.cfg, agent.device, agent.model = config, torch.device("cpu"), model
    agent.discount = agent._get_discount(config.episode_length)
    actions, means = [], []
    for plan in range(PLANS):
        agent._prev_mean = torch.from_numpy(states["warm_start"][plan].copy())
        with Draws(torch, noise, plan):
            action = agent._plan(torch.from_numpy(states["observations"][plan:plan + 1]),
                                 t0=not states["has_warm_start"][plan], eval_mode=bool(states["evaluate"][plan]))
        actions.append(action.numpy())
        means.append(agent._prev_mean.numpy())
    return numpy.stack(actions), numpy.stack(means)


def imported(networks, episodic, out):
    """Imports the networks as scripts/import-tdmpc2.py does, which would read them from a file by PyTorch."""
    spec = importlib.util.spec_from_file_location("import_tdmpc2", ROOT / "scripts" / "import-tdmpc2.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.read_state = lambda path: state_of(networks, episodic)
    fields = {"iterations": "iterations", "num_samples": "samples", "num_pi_trajs": "policy_samples",
              "num_elites": "elites"}
    settings = [f"planner.{ours}={PLANNER[theirs]}" for theirs, ours in fields.items()]
    words = ["model.pt", "--task", "external", "--out", out, "--pompc", POMPC, "--episode-decisions",
             DISCOUNT["episode_length"], *(word for one in settings for word in ("--set", one))]
    with contextlib.redirect_stderr(io.StringIO()) as stderr, contextlib.redirect_stdout(io.StringIO()):
        status = script.main(list(map(str, words)))
    assert status == 0, stderr.getvalue()


class ActionsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def plans(self, networks, states, episodic):
        """Output of `pompc model plan` for the networks, imported."""
        checkpoint = self.folder / f"checkpoint-{episodic}"
        imported(networks, episodic, checkpoint)
        return self.plan(checkpoint, states)[1]

    def plan(self, checkpoint, states):
        tensor_file.save(self.folder / "states.safetensors", states)
        out = self.folder / "plans.safetensors"
        done = subprocess.run([POMPC, "model", "plan", "--checkpoint", checkpoint, "--like",
                               self.folder / "states.safetensors", "--out", out], capture_output=True, text=True,
                              timeout=60, check=False)
        return done, tensor_file.load(out) if done.returncode == 0 else {}

    def close(self, what, ours, theirs, tolerance=TOLERANCE):
        self.assertEqual(ours.shape, theirs.shape, what)
        difference = numpy.abs(ours - theirs).max()
        print(f"{what}: differ by at most {difference:.2g}")
        self.assertLess(difference, tolerance, what)

    def test_actions_are_those_of_the_program_for_the_same_random_numbers(self):
        data = tensor_file.load(DATA)
        networks = {name[6:]: array for name, array in data.items() if name.startswith("model/")}
        states = {name[7:]: array for name, array in data.items() if name.startswith("states/")}
        for kind, episodic in KINDS.items():
            with self.subTest(kind):
                ours = self.plans(networks, states, episodic)
                # The actions below are for these numbers: normal ones are the same to rounding on every processor.
                for name in (name for name in data if name.startswith("noise.")):
                    self.close(name, ours[name], data[name], 1e-5)
                self.close(f"{kind}: actions", ours["actions"], data[f"{kind}/actions"])
                self.close(f"{kind}: means", ours["warm_start"], data[f"{kind}/means"])
                self.assertGreater(numpy.abs(ours["actions"]).min(), 0)
                self.assertGreater(numpy.abs(ours["actions"] - ours["warm_start"][:, 0]).max(), 0.1)

    @unittest.skipUnless(PROGRAM, "--program DIR names no clone of the program")
    def test_the_program_itself_computes_what_is_stored(self):
        networks, states = made_networks(), made_states()
        data = {f"model/{name}": array for name, array in networks.items()}
        data |= {f"states/{name}": array for name, array in states.items()}
        for kind, episodic in KINDS.items():
            noise = {name: array for name, array in self.plans(networks, states, episodic).items()
                     if name.startswith("noise.")}
            data |= noise
            data[f"{kind}/actions"], data[f"{kind}/means"] = plans_of_program(networks, states, noise, episodic)
        if WRITE:
            tensor_file.save(DATA, data)
            print(f"{DATA} is written: run this again")
        stored = tensor_file.load(DATA)
        self.assertEqual(list(stored), list(data))
        for name, array in data.items():
            if not name.startswith(("model/", "states/")):
                self.close(f"{name}, computed and stored", array, stored[name], 1e-5)

    def test_what_cannot_be_planned_from_is_refused(self):
        networks, states = made_networks(), made_states()
        imported(networks, True, self.folder / "checkpoint")
        good, plans = self.plan(self.folder / "checkpoint", states)
        self.assertEqual((good.returncode, plans["value"].shape), (0, (PLANS,)), good.stderr)
        wrong = {name: array for name, array in states.items() if name != "seeds"} | {"sedes": states["seeds"]}
        for change, words in ((wrong, "seeds is missing"), (states | {"x": states["seeds"]}, "x is unknown"),
                              (states | {"evaluate": states["seeds"]}, "evaluate is int64 (12), must be bool (12)"),
                              (states | {"observations": states["observations"] * numpy.nan},
                               "observations, which must be finite"),
                              (states | {"warm_start": states["warm_start"][:, :2]},
                               "warm_start is float32 (12, 2, 2)")):
            done, _ = self.plan(self.folder / "checkpoint", change)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
