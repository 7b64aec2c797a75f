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
ONLY = {"po_mpc.policy_kl": "MODE_SEEKING", "po_mpc.kl_threshold": "0", "po_mpc.policy_values": "REGULARIZED",
        "po_mpc.policy_value_reduction": "AVERAGE", "po_mpc.policy_at_window_end": "false"}
# A squashed policy has no density at the border: a planner's action beyond counts as this one.
BORDER = 0.999


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
    weights: str
    reduction: str
    window_end: bool
    squashed: bool
    replay: bool
    average_targets: bool
    state_values: bool
    gate: bool
    half_life: float
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
            weights=c["po_mpc.actor_weights"],
            reduction=c["po_mpc.kl_reduction"],
            window_end=c["po_mpc.target_horizon"] == "WINDOW_END",
            squashed=c["model.policy_form"] == "TANH_GAUSSIAN",
            replay=c["po_mpc.prior"] == "REPLAY",
            average_targets=c["po_mpc.target_value_reduction"] == "AVERAGE",
            state_values=c["model.value_form"] == "STATE_VALUES",
            gate=c["po_mpc.prior_gate"] == "VALUE",
            half_life=number("po_mpc.plan_half_life_versions"),
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

    def nat_price(self, value_scale):
        """What a nat of divergence costs, in units of reward."""
        return self.lam * ((1 - self.discount) * value_scale if self.weights == "RELATIVE" else 1)


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
    """A policy network's output -> mean and log std; of the squashed form those before tanh."""
    mean, log_std = raw.chunk(2, -1)
    half = 0.5 * (settings.log_std_max - settings.log_std_min)
    return mean if settings.squashed else mean.tanh(), settings.log_std_min + half * (log_std.tanh() + 1)


def act(policy, noise, settings):
    drawn = policy[0] + policy[1].exp() * noise
    return drawn.tanh() if settings.squashed else drawn.clamp(-1, 1)


def reduced(per_number, settings):
    a = per_number.shape[-1]
    return per_number.sum(-1) * {"SUM": 1, "MEAN": 1 / a, "TD_MPC_SQUARE": a * a / 61}[settings.reduction]


def log_normal(x, p):
    return -0.5 * ((x - p[0]) / p[1].exp()) ** 2 - p[1] - 0.5 * math.log(2 * math.pi)


def kl(p, q, settings):
    """KL(p || q) of diagonal Gaussians (mean, log std)."""
    return reduced(q[1] - p[1] + (torch.exp(2 * p[1]) + (p[0] - q[0]) ** 2) / (2 * torch.exp(2 * q[1])) - 0.5, settings)


def kl_to_plan(policy, noise, plan, settings):
    if not settings.squashed:
        return kl(policy, plan, settings)
    drawn = policy[0] + policy[1].exp() * noise
    slope = 2 * (math.log(2) - drawn - F.softplus(-2 * drawn))
    return reduced(log_normal(drawn, policy) - slope - log_normal(drawn.tanh(), plan), settings)


def kl_from_plan(plan, noise, policy, settings):
    if not settings.squashed:
        return kl(plan, policy, settings)
    action = (plan[0] + plan[1].exp() * noise).clamp(-BORDER, BORDER)
    entropy = plan[1] + 0.5 * math.log(2 * math.pi * math.e)
    return reduced(-entropy - log_normal(action.atanh(), policy) + (1 - action ** 2).log(), settings)


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
        if s.state_values:
            return self.state_targets(batch, draws)
        latents = self.net("encoder", batch["observations"][:, 1:])
        valued = latents[:, -1:] if s.window_end else latents
        actions = act(self.policy("policy", valued), draws["target_noise"][:, -valued.shape[1]:], s)
        penalty = torch.zeros_like(batch["rewards"])
        if self.has("regularized_q") and s.alpha > 0 and (s.replay or self.prior_trained):
            policy = self.policy("policy", latents)
            if s.replay:
                plan, weight = self.plans(batch)
                later = (plan[0][:, 1:], plan[1][:, 1:])
                penalty = weight[:, 1:] * kl_to_plan(policy, draws["target_noise"], later, s)
            else:
                penalty = kl(policy, self.policy("prior", latents), s)
            penalty = s.nat_price(self.value_scale) * penalty

        def of(ensemble, penalty):
            value = self.pair_value(ensemble, torch.cat((valued, actions), -1), draws["target_members"])
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

    def pair_value(self, ensemble, joined, members):
        """In targets."""
        values = decode(self.net(ensemble, joined, members=members), self.settings)
        return values.mean(0) if self.settings.average_targets else values.min(0).values

    def state_targets(self, batch, draws):
        """Of state values: from the real states, by the model's own next decision."""
        s = self.settings
        latents = self.net("encoder", batch["observations"])
        states = latents[:, :-1]
        joined = torch.cat((states, act(self.policy("policy", states), draws["target_noise"], s)), -1)
        following, alive = self.net("dynamics", joined), 1
        if self.has("termination"):
            alive = (self.net("termination", following)[..., 0] <= 0).float()
        value = self.pair_value("q_target", following, draws["target_members"])
        return latents[:, 1:], decode(self.net("reward", joined), s) + s.discount * alive * value, None

    def plans(self, batch):
        """The stored Gaussians (mean, log std), and how much each counts, [B, H + 1]."""
        s, planned = self.settings, batch["has_plan"].float()
        # Rows without a plan may hold anything.
        mean = torch.where(planned[..., None] > 0, batch["plan_mean"], torch.zeros(()))
        std = torch.where(planned[..., None] > 0, batch["plan_std"], torch.ones(()))
        weight = planned
        if s.half_life > 0 and "plan_age" in batch:
            weight = planned * 0.5 ** (batch["plan_age"] / s.half_life).clamp(max=60)[:, None]
        return (mean, std.clamp(s.std_floor, s.std_ceiling).log()), weight

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
        logits = self.net("q", latents if s.state_values else joined, dropout=dropout)
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

    def prior_loss(self, batch, draws, latents):
        s, h = self.settings, latents.shape[1]
        prior = self.policy("prior", latents)
        plan, weight = self.plans(batch)
        plan, weight = (plan[0][:, :h], plan[1][:, :h]), weight[:, :h]
        noise = draws["prior_noise"] if s.squashed else None
        divergence = kl_to_plan(prior, noise, plan, s) if s.reverse else kl_from_plan(plan, noise, prior, s)
        weights, followed = self.row_weights(batch), weight
        if s.gate:
            with torch.no_grad():
                value = lambda a: decode(self.net("q", torch.cat((latents, a), -1)), s).mean(0)
                followed = weight * (value(plan[0]) > value(act(prior, torch.zeros_like(prior[0]), s))).float()
        loss = (weights * followed * divergence).sum() * weights.sum() / (weights * weight).sum()
        return {"prior_mean": prior[0], "prior_log_std": prior[1], "prior_kl": divergence, "loss.prior": loss}

    def policy_loss(self, batch, draws, latents, prior, dropout=0.0):
        """`prior`: its Gaussian at the latents, or None where no row has a plan."""
        s, h, a = self.settings, latents.shape[1], batch["actions"].shape[-1]
        policy = self.policy("policy", latents)
        actions = act(policy, draws["policy_noise"], s)
        entropy = (policy[1] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        out = {"policy_mean": policy[0], "policy_log_std": policy[1], "policy_actions": actions,
               "policy_entropy": entropy}
        loss = -s.entropy_coefficient * a * entropy
        mix = s.weights == "MIX" or s.alpha == 1
        planned, weight = batch["has_plan"][:, :h].float(), self.plans(batch)[1][:, :h]
        if self.has("regularized_q"):
            fixed = {name: p.detach() for name, p in self.p.items() if name.split(".")[0] in ("q", "regularized_q")}
            value = lambda name, joined: decode(mlp(fixed, name, joined, s, members=draws["policy_members"],
                                                    dropout=dropout), s).mean(0)
            joined = torch.cat((latents, actions), -1)
            out["policy_values"] = value("regularized_q", joined)
            plain = s.weights == "RELATIVE" and s.alpha > 0
            ranged = value("q", joined[:, 0].detach()) if plain else out["policy_values"][:, 0]
            self.value_scale = follow(self.value_scale, ranged, s.tau)
            loss = loss - (1 - s.alpha if mix else 1) * out["policy_values"] / self.value_scale
        if prior is not None:
            out["policy_kl"] = (weight * kl_to_plan(policy, draws["policy_noise"], prior, s) if s.replay else
                                planned * kl(policy, prior, s))
            self.kl_scale = follow(self.kl_scale, out["policy_kl"][:, 0][planned[:, 0] > 0], s.tau)
            loss = loss + out["policy_kl"] * (s.alpha / self.kl_scale if mix else
                                              s.nat_price(self.value_scale) / self.value_scale)
        out["loss.policy"] = (self.row_weights(batch) * loss).sum()
        return out

    def prior_at(self, batch, draws, latents):
        """The terms of the prior's loss, and what holds the policy: {} and None where there is none."""
        h = latents.shape[1]
        if self.settings.alpha == 0 or not batch["has_plan"][:, :h].any():
            return {}, None
        if self.settings.replay:
            mean, log_std = self.plans(batch)[0]
            return {}, (mean[:, :h], log_std[:, :h])
        terms = self.prior_loss(batch, draws, latents)
        return terms, (terms["prior_mean"].detach(), terms["prior_log_std"].detach())

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
        action = act(self.policy("policy", z), batch["sequence_noise"], s)
        values = decode(self.net("q", z if s.state_values else torch.cat((z, action), -1)), s)
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
            policy = self.policy("policy", latent)
            proposed.append(act(policy, torch.randn_like(policy[0]), s))
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
            policy = self.policy("policy", latent)
            action = act(policy, torch.randn_like(policy[0]), s)
            members = torch.randperm(search.members)[:2]
            joined = latent if s.state_values else torch.cat((latent, action), -1)
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
        terms, prior = self.prior_at(batch, batch, out["latents"])
        out |= terms
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
        terms, prior = self.prior_at(batch, draws, losses["latents"])
        if terms:
            terms["loss.prior"].backward()
            self.step("prior", ("prior",))
            self.prior_trained = True
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
        noise = lambda: torch.randn(b, h, a, device=device)
        return {"target_noise": noise(), "prior_noise": noise(), "policy_noise": noise(), "target_members": pair(),
                "policy_members": pair()}
