"""scripts/import-tdmpc2.py: what pompc computes with an imported file is what its networks compute in PyTorch, for both
layouts of the Q ensemble; what cannot be imported is refused with the reason.

Usage: import_tdmpc2_test.py BUILD_FOLDER [--program DIR]

--program names a clone of the public TD-MPC2 program: then the files are written by its own model and compared with it,
which needs what that needs (PyTorch, tensordict)."""

import contextlib
import importlib.util
import io
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

PROGRAM = sys.argv.pop() if "--program" in sys.argv else ""
if PROGRAM:
    sys.argv.remove("--program")
BUILD = pathlib.Path(sys.argv.pop()) if len(sys.argv) > 1 else pathlib.Path()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

try:
    import numpy
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error.name} is not installed (Debian: python3-torch, python3-numpy)")
    sys.exit(77)

import tensor_file  # pylint: disable=wrong-import-position

POMPC = BUILD / "bin" / "pompc"
# Sizes of a small model, named as the program's config names them.
SIZES = {"enc_dim": 24, "mlp_dim": 32, "latent_dim": 16, "num_enc_layers": 2, "num_q": 3, "num_bins": 101,
         "simnorm_dim": 8, "dropout": 0.01, "action_dim": 2, "log_std_min": -8, "log_std_max": 1.5, "vmin": -10,
         "vmax": 10, "bin_size": 0.2, "multitask": False, "task_dim": 0, "obs": "state", "tau": 0.01, "horizon": 3,
         "num_samples": 5}
OBSERVATION, DECISIONS, WINDOWS, SEQUENCES = 5, 500, 12, 5
DISCOUNT = (DECISIONS / 5 - 1) / (DECISIONS / 5)


def made_state(seed, episodic):
    """A file's content in the layout with names: random parameters at which nothing is trivially equal."""
    generator = torch.Generator().manual_seed(seed)
    s, state = types.SimpleNamespace(**SIZES), {}

    def add(prefix, dims, last_normed, members=()):
        for i, (before, after) in enumerate(zip(dims, dims[1:])):
            draw = lambda *shape: torch.randn(*members, *shape, generator=generator)
            state[f"{prefix}.{i}.weight"] = draw(after, before) * 1.5 / math.sqrt(before)
            state[f"{prefix}.{i}.bias"] = 0.1 * draw(after)
            if i + 2 < len(dims) or last_normed:
                state[f"{prefix}.{i}.ln.weight"] = 1 + 0.1 * draw(after)
                state[f"{prefix}.{i}.ln.bias"] = 0.1 * draw(after)
    joined, hidden = s.latent_dim + s.action_dim, [s.mlp_dim] * 2
    add("_encoder.state", [OBSERVATION] + [s.enc_dim] * max(s.num_enc_layers - 1, 1) + [s.latent_dim], True)
    add("_dynamics", [joined, *hidden, s.latent_dim], True)
    add("_reward", [joined, *hidden, s.num_bins], False)
    if episodic:
        add("_termination", [s.latent_dim, *hidden, 1], False)
    add("_pi", [s.latent_dim, *hidden, 2 * s.action_dim], False)
    for prefix in ("_Qs.params", "_target_Qs_params"):
        add(prefix, [joined, *hidden, s.num_bins], False, (s.num_q,))
    state["log_std_min"] = torch.tensor(float(s.log_std_min))
    state["log_std_dif"] = torch.tensor(float(s.log_std_max - s.log_std_min))
    return state


def numbered(state):
    """The same in the layout with numbers, which has no bounds of the standard deviation either."""
    old, parts = {}, ["weight", "bias", "ln.weight", "ln.bias"]
    for name, value in state.items():
        for prefix, before in (("_Qs.params.", "_Qs.params."), ("_target_Qs_params.", "_target_Qs.params.")):
            if name.startswith(prefix):
                layer, _, part = name[len(prefix):].partition(".")
                name = f"{before}{4 * int(layer) + parts.index(part)}"
        if not name.startswith(("_detach_", "log_std_")) and ".module." not in name:
            old[name] = value
    return old


class Networks:
    """What the program computes with such a state, written from its definitions."""

    def __init__(self, state):
        self.state = state

    def net(self, prefix, x, members=False):
        for i in range(sum(name.startswith(prefix) and name.endswith(f"{prefix}.{i}.weight") for name in self.state
                           for i in range(9))):
            get = lambda part: self.state.get(f"{prefix}.{i}.{part}")
            weight, bias, norm = get("weight"), get("bias"), get("ln.weight")
            wide = (lambda p: p[:, None]) if members else (lambda p: p)
            x = x @ weight.transpose(-1, -2) + wide(bias)
            if norm is None:
                continue
            x = F.layer_norm(x, x.shape[-1:]) * wide(norm) + wide(get("ln.bias"))
            last = f"{prefix}.{i + 1}.weight" not in self.state
            x = F.softmax(x.unflatten(-1, (-1, SIZES["simnorm_dim"])), -1).flatten(-2) if last else F.mish(x)
        return x

    def encode(self, obs):
        return self.net("_encoder.state", obs)

    def next(self, z, a):
        return self.net("_dynamics", torch.cat([z, a], -1))

    def reward(self, z, a):
        return self.net("_reward", torch.cat([z, a], -1))

    def termination(self, z):
        return torch.sigmoid(self.net("_termination", z))

    def pi(self, z, noise):
        mean, raw = self.net("_pi", z).chunk(2, -1)
        low, high = SIZES["log_std_min"], SIZES["log_std_max"]
        log_std = low + 0.5 * (high - low) * (torch.tanh(raw) + 1)
        return torch.tanh(mean + noise * log_std.exp()), log_std

    def qs(self, z, a, target=False):
        """Logits of all members, [members, rows, bins]."""
        return self.net("_target_Qs_params" if target else "_Qs.params", torch.cat([z, a], -1), members=True)


class Program:
    """The same, asked of the program's own model."""

    def __init__(self, state, episodic):
        sys.path.insert(0, os.path.join(PROGRAM, "tdmpc2"))
        from common.world_model import WorldModel
        self.model = WorldModel(types.SimpleNamespace(**SIZES, episodic=episodic, obs_shape={"state": (OBSERVATION,)}))
        own = self.model.state_dict()
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)
        self.model.eval()

    def saved(self):
        return self.model.state_dict()

    def encode(self, obs):
        return self.model.encode(obs, None)

    def next(self, z, a):
        return self.model.next(z, a, None)

    def reward(self, z, a):
        return self.model.reward(z, a, None)

    def termination(self, z):
        return self.model.termination(z, None)

    def pi(self, z, noise):
        with patched(torch, "randn_like", lambda *_: noise):
            action, info = self.model.pi(z, None)
        return action, info["log_std"]

    def qs(self, z, a, target=False):
        return self.model.Q(z, a, None, return_type="all", target=target)


@contextlib.contextmanager
def patched(module, name, value):
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def two_hot_inv(logits):
    centres = torch.linspace(SIZES["vmin"], SIZES["vmax"], SIZES["num_bins"])
    x = (F.softmax(logits, -1) * centres).sum(-1)
    return x.sign() * (x.abs().exp() - 1)


def soft_ce(logits, target):
    x = (target.sign() * torch.log1p(target.abs())).clamp(SIZES["vmin"], SIZES["vmax"])
    position = (x - SIZES["vmin"]) / SIZES["bin_size"]
    below = position.floor().long().clamp(0, SIZES["num_bins"] - 2)
    share = (position - below)[..., None]
    hot = torch.zeros(*x.shape, SIZES["num_bins"]).scatter(-1, below[..., None], 1 - share)
    hot = hot.scatter(-1, below[..., None] + 1, share)
    return -(hot * F.log_softmax(logits, -1)).sum(-1)


def batch(seed, episodic):
    """Inputs of `pompc model probe`."""
    random = numpy.random.default_rng(seed)
    normal = lambda *shape: random.standard_normal(shape).astype(numpy.float32)
    uniform = lambda *shape: random.uniform(-1, 1, shape).astype(numpy.float32)
    b, h, a = WINDOWS, 3, SIZES["action_dim"]
    return {"observations": normal(b, h + 1, OBSERVATION), "actions": uniform(b, h, a), "rewards": 2 * uniform(b, h),
            "terminated": (random.random((b, h)) < 0.2) & episodic, "plan_mean": numpy.zeros((b, h + 1, a), numpy.float32),
            "plan_std": numpy.ones((b, h + 1, a), numpy.float32), "has_plan": numpy.zeros((b, h + 1), bool),
            "target_noise": normal(b, h, a), "target_members": numpy.array([0, 2]), "policy_noise": normal(b, h + 1, a),
            "policy_members": numpy.array([1, 2]), "sequences": uniform(b, SEQUENCES, h, a),
            "sequence_noise": normal(b, SEQUENCES, a), "sequence_members": numpy.array([[0, 1]] * b)}


@torch.no_grad()
def expected(model, inputs, episodic):
    """The arrays of the probe's output that the program's update and plan have, computed as it does."""
    t = {name: torch.from_numpy(numpy.asarray(value)) for name, value in inputs.items()}
    rho, h = 0.5, 3
    # The ensemble takes rows of one kind: [rows, numbers].
    q = lambda z, a, target=False: two_hot_inv(model.qs(z.reshape(-1, z.shape[-1]), a.reshape(-1, a.shape[-1]), target)
                                               ).reshape(SIZES["num_q"], *z.shape[:-1])
    following = model.encode(t["observations"][:, 1:])
    action, _ = model.pi(following, t["target_noise"])
    alive = 1 - t["terminated"].float()
    targets = t["rewards"] + DISCOUNT * alive * q(following, action, True)[t["target_members"]].min(0).values
    z, latents, predictions = model.encode(t["observations"][:, 0]), [], []
    for step in range(h):
        latents.append(z)
        z = model.next(z, t["actions"][:, step])
        predictions.append(z)
    latents, predictions = torch.stack([*latents, z], 1), torch.stack(predictions, 1)
    before = latents[:, :-1]
    logits = model.reward(before, t["actions"])
    q_logits = model.qs(before.reshape(-1, before.shape[-1]), t["actions"].reshape(-1, t["actions"].shape[-1])).reshape(
        SIZES["num_q"], WINDOWS, h, -1)
    weights = torch.tensor([rho**step for step in range(h)])
    acted, log_std = model.pi(latents, t["policy_noise"])
    out = {"latents": latents, "next_latents": following, "value_targets": targets, "predicted_rewards": two_hot_inv(logits),
           "values": q(before, t["actions"]), "policy_actions": acted, "policy_log_std": log_std,
           "policy_values": q(latents, acted)[t["policy_members"]].mean(0),
           "loss.consistency": (weights * ((predictions - following) ** 2).mean((0, 2))).sum() / h,
           "loss.reward": (weights * soft_ce(logits, t["rewards"]).mean(0)).sum() / h,
           "loss.value": (weights * soft_ce(q_logits, targets[None].expand(SIZES["num_q"], -1, -1)).mean((0, 1))).sum() / h}
    total, discount, ended = 0, 1, 0
    z = model.encode(t["observations"][:, 0])[:, None].expand(-1, SEQUENCES, -1)
    for step in range(h):
        action = t["sequences"][:, :, step]
        total = total + discount * (1 - ended) * two_hot_inv(model.reward(z, action))
        z, discount = model.next(z, action), discount * DISCOUNT
        if episodic:
            ended = (ended + (model.termination(z)[..., 0] > 0.5).float()).clamp(max=1)
    action, _ = model.pi(z, t["sequence_noise"])
    out["sequence_values"] = total + discount * (1 - ended) * q(z, action)[:2].mean(0)
    return {name: value.numpy() for name, value in out.items()}


def imported(*arguments, patience=None):
    """The script, called in this process, since it takes long to load PyTorch."""
    spec = importlib.util.spec_from_file_location("import_tdmpc2", ROOT / "scripts" / "import-tdmpc2.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.PATIENCE_SECONDS = patience or script.PATIENCE_SECONDS
    with contextlib.redirect_stderr(io.StringIO()) as stderr, contextlib.redirect_stdout(io.StringIO()):
        status = script.main(list(map(str, arguments)))
    return types.SimpleNamespace(returncode=status, stderr=stderr.getvalue())


class ImportTest(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_import(self, state, *more, task="external", patience=None):
        torch.save(state, self.folder / "model.pt")
        arguments = ("--episode-decisions", DECISIONS) if task == "external" else ()
        return imported(self.folder / "model.pt", "--task", task, "--out", self.folder / "imported", "--pompc", POMPC,
                        *arguments, *more, patience=patience)

    def check(self, episodic, layout, seed):
        state = made_state(seed, episodic)
        model = Program(state, episodic) if PROGRAM else Networks(state)
        file = model.saved() if PROGRAM else dict(state)
        more = ()
        if layout == "numbered":
            file, more = numbered(file), ("--set", f"model.log_std_min={SIZES['log_std_min']}", "--set",
                                          f"model.log_std_max={SIZES['log_std_max']}")
        done = self.run_import({"model": file} if layout == "named" else file, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        inputs = batch(seed, episodic)
        tensor_file.save(self.folder / "batch.safetensors", inputs)
        subprocess.run([POMPC, "model", "probe", "--checkpoint", self.folder / "imported", "--like",
                        self.folder / "batch.safetensors", "--out", self.folder / "out.safetensors"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        ours = tensor_file.load(self.folder / "out.safetensors")
        for name, theirs in expected(model, inputs, episodic).items():
            self.assertEqual(ours[name].shape, theirs.shape, name)
            scale = numpy.abs(theirs).max()
            self.assertGreater(scale, 1e-3, name)
            difference = numpy.abs(ours[name] - theirs).max()
            self.assertLess(difference, 1e-5 * max(1, scale), f"{name}, seed {seed}, {layout}")
            if PROGRAM:
                print(f"{name:20} {layout} largest {scale:9.3g} differs by {difference:8.2g}")

    def test_what_it_computes_is_what_the_file_computes(self):
        for seed, (episodic, layout) in enumerate(((False, "named"), (True, "named"), (False, "numbered")), start=1):
            with self.subTest(episodic=episodic, layout=layout, seed=seed):
                self.check(episodic, layout, seed)
                subprocess.run(["rm", "-r", self.folder / "imported"], check=True)

    def test_an_imported_checkpoint_is_evaluated(self):
        sizes = {**SIZES, "action_dim": 1}
        with patched(sys.modules[__name__], "SIZES", sizes):
            # NumPy has no such numbers.
            state = {name: value.bfloat16() for name, value in made_state(4, False).items()}
        done = self.run_import(state, "--updates", "12", task="cartpole-swingup")
        self.assertEqual(done.returncode, 0, done.stderr)
        for more in (("--policy",), ("--set", "planner.samples=32", "--set", "planner.policy_samples=4", "--set",
                                     "planner.elites=8", "--set", "planner.iterations=1")):
            played = subprocess.run([POMPC, "evaluate", "--checkpoint", self.folder / "imported", "--episodes", "1", *more],
                                    capture_output=True, text=True, timeout=100, check=False)
            self.assertEqual(played.returncode, 0, played.stderr)

    def test_what_cannot_be_imported_is_refused_and_nothing_is_written(self):
        good = made_state(1, False)
        without = lambda prefix: {name: value for name, value in good.items() if not name.startswith(prefix)}
        for words, state, task in (
                ("of several tasks", {**good, "_task_emb.weight": torch.zeros(2, 3)}, "external"),
                ("no encoder of state observations", without("_encoder"), "external"),
                ("it has no policy", without("_pi"), "external"), ("it has no q_target", without("_target"), "external"),
                ("the layers of _dynamics. are", without("_dynamics.1"), "external"),
                ("_pi.0.gain is no parameter", {**good, "_pi.0.gain": torch.zeros(1)}, "external"),
                ("action_size is 2; that of the task cartpole-swingup is another", good, "cartpole-swingup"),
                ("pompc does not take what is in", {**good, "_pi.0.bias": good["_pi.0.bias"] * math.nan}, "external"),
                ("holds no tensors by their names", {"model": [1]}, "external"),
                ("", good, "no-such-task")):
            with self.subTest(words):
                done = self.run_import(state, task=task)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertEqual([path.name for path in self.folder.iterdir()], ["model.pt"])
        self.assertIn("is for --task external", self.run_import(good, "--episode-decisions", "9", task="cartpole-swingup")
                      .stderr)
        # A program that is none of pompc's is not waited for.
        sleeper = self.folder / "sleeper"
        sleeper.write_text("#!/bin/sh\nexec sleep 600\n")
        sleeper.chmod(0o755)
        done = self.run_import(good, "--pompc", sleeper, patience=0.1)
        self.assertRegex(done.stderr, "sleeper config did not end within 0.1 s\n$")
        (self.folder / "imported").mkdir()
        self.assertIn("exists already", self.run_import(good).stderr)
        (self.folder / "model.pt").write_text("nothing")
        done = imported(self.folder / "model.pt", "--task", "external", "--out", self.folder / "other")
        self.assertIn("cannot be read", done.stderr)


if __name__ == "__main__":
    unittest.main()
