"""Updates per second of the PO-MPC update in one run: pompc's, the same update out of ATen's operations one by one, and
the PyTorch peer (bench/peers). On a CPU all with one thread, pompc's with its kernels; on CUDA pompc's from a graph. With
bfloat16 pompc rounds the factors of its matrix products (model.matmul_dtype), which a CPU does that has AMX.

  python3 bench/learner/update_rates.py [--device cpu] [--update-bench build/release/bench/learner/update_bench]

Needs PyTorch and NumPy (Debian: python3-torch, python3-numpy). The machine should have nothing else to do.
"""

import argparse
import os
import pathlib
import sys
import time

# Before they are loaded: OpenBLAS has threads of its own, which torch.set_num_threads does not reach.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy  # pylint: disable=wrong-import-position
import torch  # pylint: disable=wrong-import-position

for folder in ("peers", "support"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", folder))
import po_mpc  # pylint: disable=wrong-import-position
import rates  # pylint: disable=wrong-import-position

OBSERVATION, ACTION, HORIZON, BINS, SIMNORM = 5, 1, 3, 101, 8
# As in common/config/run_config.cc: encoder_dim, mlp_dim, latent_dim, members; and the batch of update_bench.
SIZES = {"tiny": (128, 128, 64, 2, 128), "5M": (256, 512, 512, 5, 256)}
ROUNDS = 3


def network(name, sizes, normed_last, members, random):
    """Arrays of one network with the given widths, the input first."""
    arrays, leading = {}, (members,) if members else ()
    for i, (width_in, width_out) in enumerate(zip(sizes, sizes[1:])):
        arrays[f"{name}.{i}.weight"] = random.normal(0, 0.02, (*leading, width_in, width_out)).astype(numpy.float32)
        arrays[f"{name}.{i}.bias"] = numpy.zeros((*leading, width_out), numpy.float32)
        if i + 2 < len(sizes) or normed_last:
            arrays[f"{name}.{i}.norm.weight"] = numpy.ones((*leading, width_out), numpy.float32)
            arrays[f"{name}.{i}.norm.bias"] = numpy.zeros((*leading, width_out), numpy.float32)
    return arrays


def fresh_peer(size, device):
    encoder, width, latent, members, _ = SIZES[size]
    random = numpy.random.default_rng(1)
    joined = latent + ACTION
    arrays = network("encoder", (OBSERVATION, encoder, latent), True, 0, random)
    arrays |= network("dynamics", (joined, width, width, latent), True, 0, random)
    arrays |= network("reward", (joined, width, width, BINS), False, 0, random)
    for name in ("q", "q_target", "regularized_q", "regularized_q_target"):
        arrays |= network(name, (joined, width, width, BINS), False, members, random)
    for name in ("policy", "prior"):
        arrays |= network(name, (latent, width, width, 2 * ACTION), False, 0, random)
    arrays |= {"scale.value": 1, "scale.kl": 1, "updater.prior_trained": 0}
    settings = po_mpc.Settings(
        alpha=0.5, reverse=False, literal=False, sum_kl=False, window_end=False, entropy_coefficient=1e-4,
        std_floor=0.05, std_ceiling=2, regularized_value_gradient=False, discount=0.99, rho=0.5, tau=0.01,
        learning_rate=3e-4, encoder_lr_scale=0.3, max_grad_norm=20, consistency_coefficient=20, reward_coefficient=0.1,
        value_coefficient=0.1, termination_coefficient=1, simnorm_dim=SIMNORM, dropout=0.01, bin_min=-10, bin_max=10,
        log_std_min=-3, log_std_max=1)
    return po_mpc.PoMpc(arrays, settings, device)


def wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def rate_of_peer(size, device, seconds):
    torch.manual_seed(1)
    b = SIZES[size][-1]
    peer = fresh_peer(size, device)
    batch = {
        "observations": torch.randn(b, HORIZON + 1, OBSERVATION), "actions": torch.rand(b, HORIZON, ACTION) * 2 - 1,
        "rewards": torch.randn(b, HORIZON), "terminated": torch.zeros(b, HORIZON, dtype=torch.bool),
        "plan_mean": torch.rand(b, HORIZON + 1, ACTION) * 2 - 1, "plan_std": torch.full((b, HORIZON + 1, ACTION), 0.3),
        "has_plan": torch.ones(b, HORIZON + 1, dtype=torch.bool)}
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    for _ in range(3):
        peer.update(batch, peer.draw(batch))
    wait(device)
    updates, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        peer.update(batch, peer.draw(batch))
        updates += 1
    wait(device)
    return updates / (time.perf_counter() - begin)


def rate_of_bench(binary, case, device, seconds):
    measured, _ = rates.results(rates.start(binary, f"^BM_Update/{case}/", seconds, arguments=("--device", device)))
    (result,) = measured.values()
    return 1 / rates.seconds_of(result, "real_time")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--update-bench", default="build/release/bench/learner/update_bench", help="pompc's benchmark")
    parser.add_argument("--seconds", type=float, default=5, help="of each of the measurements")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name(flags.device) if flags.device.startswith("cuda") else "CPU, one thread"
    print(f"{name}, PyTorch {torch.__version__}, updates per second: median of {ROUNDS} turns (least, most)")
    for size, (*_, batch) in SIZES.items():
        turns = {"pompc": [], "ATen operations": [], "PyTorch peer": []}
        if flags.device != "cpu" or "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
            turns["pompc, bfloat16"] = []
        for _ in range(ROUNDS):
            turns["pompc"].append(rate_of_bench(flags.update_bench, size, flags.device, flags.seconds))
            if "pompc, bfloat16" in turns:
                turns["pompc, bfloat16"].append(
                    rate_of_bench(flags.update_bench, size + "_bfloat16", flags.device, flags.seconds))
            turns["ATen operations"].append(
                rate_of_bench(flags.update_bench, size + "_eager", flags.device, flags.seconds))
            turns["PyTorch peer"].append(rate_of_peer(size, flags.device, flags.seconds))
        for what, values in turns.items():
            print(f"{size:5} batch {batch:4} {what:16} {rates.summary(values)}", flush=True)


if __name__ == "__main__":
    main()
