"""Inputs for `pompc model probe`, for programs that compare their own numbers with pompc's. Needs NumPy."""

import numpy


def random_batch(arrays, config, seed, windows=12, horizon=3, sequences=5):
    """Inputs of `pompc model probe`: a batch and draws, a function of the seed."""
    random = numpy.random.default_rng(seed)
    normal = lambda *shape: random.standard_normal(shape).astype(numpy.float32)
    uniform = lambda low, high, *shape: random.uniform(low, high, shape).astype(numpy.float32)
    observation = arrays["encoder.0.weight"].shape[0]
    members = arrays["q.0.weight"].shape[0]
    action = arrays["policy.2.bias"].shape[0] // 2
    pair = lambda: random.permutation(members)[:2].astype(numpy.int64)
    b, h, squashed = windows, horizon, "TANH_GAUSSIAN" in config
    batch = {
        "observations": normal(b, h + 1, observation), "actions": uniform(-1, 1, b, h, action),
        "rewards": uniform(-1, 2, b, h), "terminated": random.random((b, h)) < 0.15,
        "plan_mean": uniform(-1, 1, b, h + 1, action), "plan_std": uniform(0.01, 2.5, b, h + 1, action),
        "has_plan": random.random((b, h + 1)) < 0.8,
        "target_noise": normal(b, h if squashed and "REPLAY" in config or "WINDOW_END" not in config else 1, action),
        "target_members": pair(), "plan_age": uniform(0, 20, b),
        "policy_noise": normal(b, h, action),
        "value_scale": numpy.float32(1.7), "kl_scale": numpy.float32(2.3),
        "sequences": uniform(-1, 1, b, sequences, h, action), "sequence_noise": normal(b, sequences, action),
        "sequence_members": numpy.stack([pair() for _ in range(b)])}
    if "regularized_q.0.weight" in arrays:
        batch["policy_members"] = pair()
    if squashed and "prior.0.weight" in arrays:
        batch["prior_noise"] = normal(b, h, action)
    return batch
