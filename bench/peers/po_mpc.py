"""The PO-MPC update in plain PyTorch, after docs/algorithm.md: a second implementation to compare pompc with.

It shares nothing with pompc but the arrays of `pompc checkpoint export` and the config in a checkpoint's state.json.
Written to be read, not to be fast; it runs on any device that PyTorch has.

Shapes: B windows of H decisions, O numbers in an observation, A in an action, L in a latent, N members of an ensemble.
Windows come first: [B, H, ...].
"""

import dataclasses
import itertools
import math
import re

import torch
import torch.nn.functional as F

# Networks whose parameters an optimiser steps, and those that follow them.
MODEL = ("encoder", "dynamics", "reward", "termination", "q")
TARGET_OF = {"q_target": "q", "regularized_q_target": "regularized_q"}


# Settings that only have these values here, where a config has them.
ONLY = {"model.policy_form": "CLIPPED_GAUSSIAN", "po_mpc.prior": "LEARNED", "po_mpc.policy_kl": "MODE_SEEKING",
        "po_mpc.scale_kl": "true", "po_mpc.kl_threshold": "0", "po_mpc.target_value_reduction": "MIN",
        "po_mpc.policy_values": "REGULARIZED", "po_mpc.policy_value_reduction": "AVERAGE",
        "po_mpc.policy_at_window_end": "false"}


def parse_config(text):
    """Protobuf text format -> {"learner.batch_size": "256", ...}."""
    values, scope = {}, []
    for line in text.splitlines():
        line = line.strip()
        if line.endswith("{"):
            scope.append(line[:-1].strip())
        elif line == "}":
            scope.pop()
        elif match := re.fullmatch(r"(\w+):\s*(.*)", line):
            values[".".join((*scope, match.group(1)))] = match.group(2).strip('"')
    return values


@dataclasses.dataclass
class Settings:
    """What the update needs of a run's config."""

    alpha: float
    reverse: bool
    literal: bool
    sum_kl: bool
    window_end: bool
    entropy_coefficient: float
    std_floor: float
    std_ceiling: float
    regularized_value_gradient: bool
    discount: float
    rho: float
    tau: float
    learning_rate: float
    encoder_lr_scale: float
    max_grad_norm: float
    consistency_coefficient: float
    reward_coefficient: float
    value_coefficient: float
    termination_coefficient: float
    simnorm_dim: int
    dropout: float
    bin_min: float
    bin_max: float
    log_std_min: float
    log_std_max: float

    @staticmethod
    def from_config(text):
        c = parse_config(text)
        for name, value in ONLY.items():
            if c.get(name, value) != value:
                raise ValueError(f"{name} is {c[name]}: the peer knows {value} alone")
        number = lambda name: float(c[name])
        lam = number("po_mpc.lambda")
        discount = number("learner.discount")
        if discount == 0:
            fifth = number("env.spec.episode_decisions") / 5
            discount = min(max((fifth - 1) / fifth, 0.95), 0.995)
        same = ("rho", "tau", "learning_rate", "encoder_lr_scale", "max_grad_norm", "consistency_coefficient",
                "reward_coefficient", "value_coefficient", "termination_coefficient")
        return Settings(
            alpha=number("po_mpc.alpha") if "po_mpc.alpha" in c else lam / (1 + lam),
            reverse=c["po_mpc.prior_kl"] == "REVERSE",
            literal=c["po_mpc.actor_weights"] == "LITERAL",
            sum_kl=c["po_mpc.kl_reduction"] == "SUM",
            window_end=c["po_mpc.target_horizon"] == "WINDOW_END",
            entropy_coefficient=number("po_mpc.entropy_coefficient"),
            std_floor=number("po_mpc.planner_std_floor"),
            std_ceiling=number("planner.max_std"),
            regularized_value_gradient=c["po_mpc.regularized_value_gradient"] == "true",
            discount=discount,
            **{name: number("learner." + name) for name in same},
            simnorm_dim=int(c["model.simnorm_dim"]),
            **{name: number("model." + name)
               for name in ("dropout", "bin_min", "bin_max", "log_std_min", "log_std_max")})

    @property
    def lam(self):
        return math.inf if self.alpha == 1 else self.alpha / (1 - self.alpha)


def mlp(parameters, name, x, settings, members=None, dropout=0.0):
    """Network `name` at x [..., in]; an ensemble gives [members, ..., out]."""
    depth = next(i for i in itertools.count(1) if f"{name}.{i}.weight" not in parameters)
    shape = x.shape[:-1]
    y = x.reshape(-1, x.shape[-1])
    for i in range(depth):
        def parameter(part):
            p = parameters.get(f"{name}.{i}.{part}")
            return p if p is None or members is None else p[members]
        weight, bias = parameter("weight"), parameter("bias")
        per_member = (lambda p: p[:, None]) if weight.dim() == 3 else (lambda p: p)
        y = y @ weight + per_member(bias)
        if i == 0:
            y = F.dropout(y, dropout)
        if parameter("norm.weight") is None:
            continue
        y = F.layer_norm(y, y.shape[-1:]) * per_member(parameter("norm.weight")) + per_member(parameter("norm.bias"))
        if i + 1 < depth:
            y = F.mish(y)
        else:
            y = F.softmax(y.unflatten(-1, (-1, settings.simnorm_dim)), -1).flatten(-2)
    return y.reshape(*y.shape[:-2], *shape, y.shape[-1])


def symlog(x):
    return x.sign() * torch.log1p(x.abs())


def symexp(x):
    return x.sign() * torch.expm1(x.abs())


def decode(logits, settings):
    """Two-hot logits [..., bins] -> values [...]."""
    centers = torch.linspace(settings.bin_min, settings.bin_max, logits.shape[-1], device=logits.device)
    return symexp((F.softmax(logits, -1) * centers).sum(-1))


def cross_entropy(logits, values, settings):
    """Of two-hot values [...] under logits [..., bins] (or with members before) -> [...]."""
    bins = logits.shape[-1]
    width = (settings.bin_max - settings.bin_min) / (bins - 1)
    position = ((symlog(values).clamp(settings.bin_min, settings.bin_max) - settings.bin_min) / width)
    below = position.floor().clamp(0, bins - 2)
    share = (position - below).unsqueeze(-1)
    below = below.long().unsqueeze(-1)
    two_hot = torch.zeros(*values.shape, bins, device=logits.device)
    two_hot = two_hot.scatter(-1, below, 1 - share).scatter(-1, below + 1, share)
    return -(two_hot * F.log_softmax(logits, -1)).sum(-1)


def gaussian(raw, settings):
    """A policy network's output -> mean and log std."""
    mean, log_std = torch.tanh(raw).chunk(2, -1)
    half = 0.5 * (settings.log_std_max - settings.log_std_min)
    return mean, settings.log_std_min + half * (log_std + 1)


def kl(p, q, settings):
    """KL(p || q) of diagonal Gaussians (mean, log std)."""
    per_number = q[1] - p[1] + (torch.exp(2 * p[1]) + (p[0] - q[0]) ** 2) / (2 * torch.exp(2 * q[1])) - 0.5
    return per_number.sum(-1) if settings.sum_kl else per_number.mean(-1)


def follow(scale, x, tau):
    """The running scale one batch on: towards max(P95 - P5, 1)."""
    if x.numel() < 2:
        return scale
    low, high = torch.quantile(x.detach(), torch.tensor([0.05, 0.95], device=x.device))
    return scale + tau * ((high - low).clamp(min=1) - scale)


@dataclasses.dataclass
class Search:
    """What a plan needs of a run's config."""

    samples: int
    iterations: int
    policy_samples: int
    elites: int
    members: int
    min_std: float = 0.05
    max_std: float = 2
    temperature: float = 0.5


class PoMpc:
    """Networks by the names of `pompc checkpoint export`, and what an update does with them."""

    def __init__(self, arrays, settings, device="cpu"):
        self.settings = settings
        self.p = {}
        for name, array in arrays.items():
            if name.startswith(("adam.", "scale.", "updater.")):
                continue
            trained = name.split(".")[0] not in TARGET_OF
            self.p[name] = torch.tensor(array, device=device).requires_grad_(trained)
        self.value_scale = torch.tensor(float(arrays["scale.value"]), device=device)
        self.kl_scale = torch.tensor(float(arrays["scale.kl"]), device=device)
        self.prior_trained = bool(arrays["updater.prior_trained"])
        self.optimizers = {}

    def has(self, network):
        return any(name.startswith(network + ".") for name in self.p)

    def of(self, *networks):
        return [p for name, p in self.p.items() if name.split(".")[0] in networks]

    def net(self, name, x, **options):
        return mlp(self.p, name, x, self.settings, **options)

    def policy(self, name, z):
        return gaussian(self.net(name, z), self.settings)

    @torch.no_grad()
    def targets(self, batch, draws):
        """Latents of the next states, and the targets of both ensembles, each [B, H]."""
        s = self.settings
        latents = self.net("encoder", batch["observations"][:, 1:])
        valued = latents[:, -1:] if s.window_end else latents
        mean, log_std = self.policy("policy", valued)
        actions = (mean + log_std.exp() * draws["target_noise"]).clamp(-1, 1)
        penalty = torch.zeros_like(batch["rewards"])
        if self.has("prior") and self.has("regularized_q") and self.prior_trained:
            penalty = s.lam * kl(self.policy("policy", latents), self.policy("prior", latents), s)

        def of(ensemble, penalty):
            logits = self.net(ensemble, torch.cat((valued, actions), -1), members=draws["target_members"])
            value = decode(logits, s).min(0).values
            alive = 1 - batch["terminated"].float()
            if not s.window_end:
                return batch["rewards"] + s.discount * alive * (value - penalty)
            steps, y = [], value[:, 0]
            for t in reversed(range(penalty.shape[1])):
                y = batch["rewards"][:, t] + s.discount * alive[:, t] * (y - penalty[:, t])
                steps.insert(0, y)
            return torch.stack(steps, 1)

        regularized = of("regularized_q_target", penalty) if self.has("regularized_q") else None
        return latents, of("q_target", torch.zeros_like(penalty)), regularized

    def row_weights(self, batch):
        """rho^t / (H B): [B, H]."""
        b, h = batch["rewards"].shape
        rho = self.settings.rho ** torch.arange(h, device=batch["rewards"].device)
        return (rho / (h * b)).expand(b, h)

    def model_losses(self, batch, targets, dropout=0.0):
        s, out = self.settings, {}
        next_latents, value_targets, regularized_targets = targets
        weights = self.row_weights(batch)
        z, latents, predictions = self.net("encoder", batch["observations"][:, 0]), [], []
        for t in range(weights.shape[1]):
            latents.append(z)
            z = self.net("dynamics", torch.cat((z, batch["actions"][:, t]), -1))
            predictions.append(z)
        latents, predictions = torch.stack(latents, 1), torch.stack(predictions, 1)
        joined = torch.cat((latents, batch["actions"]), -1)
        reward_logits = self.net("reward", joined)
        logits = self.net("q", joined, dropout=dropout)
        out["latents"], out["next_latents"] = latents.detach(), next_latents
        out["predicted_rewards"], out["values"] = decode(reward_logits, s), decode(logits, s)
        out["value_targets"] = value_targets
        out["loss.consistency"] = (weights * ((predictions - next_latents) ** 2).mean(-1)).sum()
        out["loss.reward"] = (weights * cross_entropy(reward_logits, batch["rewards"], s)).sum()
        out["loss.value"] = (weights * cross_entropy(logits, value_targets, s).mean(0)).sum()
        total = s.consistency_coefficient * out["loss.consistency"] + s.reward_coefficient * out["loss.reward"]
        total = total + s.value_coefficient * out["loss.value"]
        if regularized_targets is not None:
            seen = joined if s.regularized_value_gradient else joined.detach()
            logits = self.net("regularized_q", seen, dropout=dropout)
            out["regularized_values"], out["regularized_value_targets"] = decode(logits, s), regularized_targets
            out["loss.regularized_value"] = (weights * cross_entropy(logits, regularized_targets, s).mean(0)).sum()
            total = total + s.value_coefficient * out["loss.regularized_value"]
        if self.has("termination"):
            logit = self.net("termination", predictions)[..., 0]
            out["loss.termination"] = F.binary_cross_entropy_with_logits(logit, batch["terminated"].float())
            total = total + s.termination_coefficient * out["loss.termination"]
        out["loss.total"] = total
        return out

    def prior_loss(self, batch, latents):
        s, h = self.settings, latents.shape[1]
        mean, log_std = self.policy("prior", latents)
        planned = batch["has_plan"][:, :h].float()
        # Rows without a plan may hold anything.
        plan_mean = torch.where(planned[..., None] > 0, batch["plan_mean"][:, :h], torch.zeros(()))
        plan_std = torch.where(planned[..., None] > 0, batch["plan_std"][:, :h], torch.ones(()))
        plan = (plan_mean, plan_std.clamp(s.std_floor, s.std_ceiling).log())
        divergence = kl((mean, log_std), plan, s) if s.reverse else kl(plan, (mean, log_std), s)
        weights = self.row_weights(batch)
        loss = (weights * planned * divergence).sum() * weights.sum() / (weights * planned).sum()
        return {"prior_mean": mean, "prior_log_std": log_std, "prior_kl": divergence, "loss.prior": loss}

    def policy_loss(self, batch, draws, latents, prior, dropout=0.0):
        """`prior`: its Gaussian at the latents, or None where no row has a plan."""
        s, h, a = self.settings, latents.shape[1], batch["actions"].shape[-1]
        mean, log_std = self.policy("policy", latents)
        actions = (mean + log_std.exp() * draws["policy_noise"]).clamp(-1, 1)
        entropy = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        out = {"policy_mean": mean, "policy_log_std": log_std, "policy_actions": actions, "policy_entropy": entropy}
        loss = -s.entropy_coefficient * a * entropy
        mix = not s.literal or s.alpha == 1
        planned = batch["has_plan"][:, :h].float()
        if self.has("regularized_q"):
            fixed = {name: p.detach() for name, p in self.p.items() if name.startswith("regularized_q.")}
            logits = mlp(fixed, "regularized_q", torch.cat((latents, actions), -1), s,
                         members=draws["policy_members"], dropout=dropout)
            out["policy_values"] = decode(logits, s).mean(0)
            self.value_scale = follow(self.value_scale, out["policy_values"][:, 0], s.tau)
            loss = loss - (1 - s.alpha if mix else 1) * out["policy_values"] / self.value_scale
        if prior is not None:
            out["policy_kl"] = planned * kl((mean, log_std), prior, s)
            self.kl_scale = follow(self.kl_scale, out["policy_kl"][:, 0][planned[:, 0] > 0], s.tau)
            loss = loss + out["policy_kl"] * (s.alpha / self.kl_scale if mix else s.lam / self.value_scale)
        out["loss.policy"] = (self.row_weights(batch) * loss).sum()
        return out

    def sequence_values(self, batch):
        """Values of given action sequences [B, N, P, A] from the first observations, as plans see them: [B, N]."""
        s, sequences = self.settings, batch["sequences"]
        n, length = sequences.shape[1:3]
        z = self.net("encoder", batch["observations"][:, 0])[:, None].expand(-1, n, -1)
        total, alive, discount = 0, 1, 1
        for t in range(length):
            joined = torch.cat((z, sequences[:, :, t]), -1)
            total = total + discount * alive * decode(self.net("reward", joined), s)
            z = self.net("dynamics", joined)
            discount *= s.discount
            if self.has("termination"):
                alive = alive * (self.net("termination", z)[..., 0] <= 0).float()
        mean, log_std = self.policy("policy", z)
        action = (mean + log_std.exp() * batch["sequence_noise"]).clamp(-1, 1)
        values = decode(self.net("q", torch.cat((z, action), -1)), s)
        pairs = batch["sequence_members"]
        chosen = torch.stack([values[pairs[b], b].mean(0) for b in range(len(pairs))])
        return total + discount * alive * chosen

    @torch.no_grad()
    def plan(self, observation, mean, search):
        """One decision by MPPI from one observation [O] and the mean of the plan before [P, A], moved on by a decision:
        the action, and the mean and standard deviation of the new plan."""
        s, (length, width) = self.settings, mean.shape
        z = self.net("encoder", observation[None])
        proposed, latent = [], z.expand(search.policy_samples, -1)
        for _ in range(length):
            centre, log_std = self.policy("policy", latent)
            proposed.append((centre + log_std.exp() * torch.randn_like(centre)).clamp(-1, 1))
            latent = self.net("dynamics", torch.cat((latent, proposed[-1]), -1))
        proposed = torch.stack(proposed, 1)
        std = torch.full_like(mean, search.max_std)
        for _ in range(search.iterations):
            drawn = mean + std * torch.randn(search.samples - search.policy_samples, length, width)
            sequences = torch.cat((proposed, drawn.clamp(-1, 1)))
            total, discount, latent = 0, 1, z.expand(search.samples, -1)
            for t in range(length):
                joined = torch.cat((latent, sequences[:, t]), -1)
                total = total + discount * decode(self.net("reward", joined), s)
                latent = self.net("dynamics", joined)
                discount *= s.discount
            centre, log_std = self.policy("policy", latent)
            action = (centre + log_std.exp() * torch.randn_like(centre)).clamp(-1, 1)
            members = torch.randperm(search.members)[:2]
            joined = torch.cat((latent, action), -1)
            total = total + discount * decode(self.net("q", joined, members=members), s).mean(0)
            values, best = torch.topk(total.nan_to_num(0), search.elites)
            scores = torch.exp(search.temperature * (values - values[0]))
            weights = (scores / (scores.sum() + 1e-9))[:, None, None]
            mean = (weights * sequences[best]).sum(0)
            std = (weights * (sequences[best] - mean) ** 2).sum(0).sqrt().clamp(search.min_std, search.max_std)
        chosen = sequences[best[torch.multinomial(scores, 1)], 0][0]
        return (chosen + std[0] * torch.randn_like(chosen)).clamp(-1, 1), mean, std

    def probe(self, batch):
        """What `pompc model probe` writes, at the parameters as they are and without dropout."""
        out = self.model_losses(batch, self.targets(batch, batch))
        prior = None
        if self.has("prior") and batch["has_plan"][:, :-1].any():
            out |= self.prior_loss(batch, out["latents"])
            prior = (out["prior_mean"].detach(), out["prior_log_std"].detach())
        out |= self.policy_loss(batch, batch, out["latents"], prior)
        out["value_scale"], out["kl_scale"] = self.value_scale, self.kl_scale
        if "sequences" in batch:
            with torch.no_grad():
                out["sequence_values"] = self.sequence_values(batch)
        # The losses share no parameters: their sum has the gradients of each.
        (out["loss.total"] + out["loss.policy"] + out.get("loss.prior", 0)).backward()
        for name, p in self.p.items():
            if p.grad is not None:
                out["gradient_norm." + name] = p.grad.norm()
        return {name: value.detach() for name, value in out.items()}

    def make_optimizers(self):
        s, adam = self.settings, torch.optim.Adam
        groups = [{"params": self.of("encoder"), "lr": s.learning_rate * s.encoder_lr_scale},
                  {"params": self.of(*MODEL[1:]), "lr": s.learning_rate}]
        self.optimizers["model"] = adam(groups)
        self.optimizers["policy"] = adam(self.of("policy"), lr=s.learning_rate, eps=1e-5)
        for name in ("regularized_q", "prior"):
            if self.has(name):
                self.optimizers[name] = adam(self.of(name), lr=s.learning_rate)

    def step(self, optimizer, networks):
        torch.nn.utils.clip_grad_norm_(self.of(*networks), self.settings.max_grad_norm)
        self.optimizers[optimizer].step()

    def update(self, batch, draws):
        """One update of everything; optimisers start afresh."""
        s = self.settings
        if not self.optimizers:
            self.make_optimizers()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        losses = self.model_losses(batch, self.targets(batch, draws), dropout=s.dropout)
        losses["loss.total"].backward()
        self.step("model", MODEL)
        if self.has("regularized_q"):
            self.step("regularized_q", ("regularized_q",))
        prior = None
        if self.has("prior") and batch["has_plan"][:, :-1].any():
            terms = self.prior_loss(batch, losses["latents"])
            terms["loss.prior"].backward()
            self.step("prior", ("prior",))
            self.prior_trained = True
            prior = (terms["prior_mean"].detach(), terms["prior_log_std"].detach())
        self.policy_loss(batch, draws, losses["latents"], prior, dropout=s.dropout)["loss.policy"].backward()
        self.step("policy", ("policy",))
        with torch.no_grad():
            for name, p in self.p.items():
                network, _, rest = name.partition(".")
                if network in TARGET_OF:
                    p.lerp_(self.p[f"{TARGET_OF[network]}.{rest}"], s.tau)

    def draw(self, batch):
        """Random draws for one update."""
        b, h, a = batch["actions"].shape
        device = batch["actions"].device
        members = next(p for name, p in self.p.items() if name.startswith("q.")).shape[0]
        pair = lambda: torch.randperm(members)[:2].to(device)
        return {"target_noise": torch.randn(b, 1 if self.settings.window_end else h, a, device=device),
                "policy_noise": torch.randn(b, h, a, device=device), "target_members": pair(), "policy_members": pair()}
