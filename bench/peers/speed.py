"""Milliseconds of a PO-MPC update and of a plan in one run: pompc's, the same update out of ATen's operations one by one,
and the PyTorch peer (po_mpc.py), operation by operation and, with --compile, compiled by torch.compile. On a CPU all with
one thread, pompc's with its kernels; on CUDA pompc's updates from a graph, and no plans. With bfloat16 pompc rounds the
factors of its matrix products (model.matmul_dtype), which GPUs do and CPUs with AMX or AVX512_BF16.

  bench/peers/speed.py --install-torch /tmp/torch    # makes a virtual environment with PyTorch 2.7.1, once
  /tmp/torch/bin/python bench/peers/speed.py --compile
  python3 bench/peers/speed.py                       # with Debian's python3-torch and python3-numpy

The machine should have nothing else to do. CPU time is counted on a CPU, so that a busy machine disturbs less.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import sysconfig
import time

if sys.argv[1:2] == ["--install-torch"] and len(sys.argv) == 3:
    subprocess.run([sys.executable, "-m", "venv", sys.argv[2]], check=True)
    subprocess.run([f"{sys.argv[2]}/bin/pip", "install", "--quiet", "torch==2.7.1", "numpy"], check=True)
    sys.exit()

# Before they are loaded: OpenBLAS has threads of its own, which torch.set_num_threads does not reach.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy  # pylint: disable=wrong-import-position
import torch  # pylint: disable=wrong-import-position

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import po_mpc  # pylint: disable=wrong-import-position
import rates  # pylint: disable=wrong-import-position
from integers import integer  # pylint: disable=wrong-import-position

# torch.compile links with what lies there, which is Debian's LibTorch where pompc is built, and then compiles without
# vectors.
sysconfig.get_config_vars()["LIBDIR"] = os.path.join(os.path.dirname(torch.__file__), "lib")

OBSERVATION, ACTION, HORIZON, BINS, SIMNORM = 5, 1, 3, 101, 8
# As in common/config/run_config.cc: encoder_dim, mlp_dim, latent_dim, members; and the batch of update_bench.
SIZES = {"tiny": (128, 128, 64, 2, 128), "5M": (256, 512, 512, 5, 256)}
# As in bench/model/plan_bench.cc: samples, iterations, policy_samples, elites.
SEARCHES = {"tiny": (128, 4, 8, 16), "5M": (512, 6, 24, 64)}


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
        alpha=0.5, reverse=False, weights="RELATIVE", reduction="SUM", window_end=False, squashed=False, replay=False,
        average_targets=False, state_values=False, gate=False, half_life=0, entropy_coefficient=1e-4, std_floor=0.05,
        std_ceiling=2, regularized_value_gradient=False, discount=0.99, rho=0.5, tau=0.01,
        learning_rate=3e-4, encoder_lr_scale=0.3, max_grad_norm=20, consistency_coefficient=20, reward_coefficient=0.1,
        value_coefficient=0.1, termination_coefficient=1, simnorm_dim=SIMNORM, dropout=0.01, bin_min=-10, bin_max=10,
        log_std_min=-3, log_std_max=1)
    return po_mpc.PoMpc(arrays, settings, device)


def wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def per_call(call, device, seconds):
    """Milliseconds of a call: of CPU time where it computes on the CPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    # torch.compile is done after the third.
    for _ in range(5):
        call()
    wait(device)
    calls, begin, end = 0, clock(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        call()
        calls += 1
    wait(device)
    return 1e3 * (clock() - begin) / calls


def update_of_peer(size, device, compiled):
    torch.manual_seed(1)
    b = SIZES[size][-1]
    peer = fresh_peer(size, device)
    batch = {
        "observations": torch.randn(b, HORIZON + 1, OBSERVATION), "actions": torch.rand(b, HORIZON, ACTION) * 2 - 1,
        "rewards": torch.randn(b, HORIZON), "terminated": torch.zeros(b, HORIZON, dtype=torch.bool),
        "plan_mean": torch.rand(b, HORIZON + 1, ACTION) * 2 - 1, "plan_std": torch.full((b, HORIZON + 1, ACTION), 0.3),
        "has_plan": torch.ones(b, HORIZON + 1, dtype=torch.bool)}
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    # The parts that compute; optimisers step for all parameters at once in either case.
    for part in ("targets", "model_losses", "prior_loss", "policy_loss") if compiled else ():
        setattr(peer, part, torch.compile(getattr(peer, part), dynamic=False))
    return lambda: peer.update(batch, peer.draw(batch))


def plan_of_peer(size, compiled):
    torch.manual_seed(1)
    peer = fresh_peer(size, "cpu")
    search = po_mpc.Search(*SEARCHES[size], members=SIZES[size][3])
    plan = torch.compile(peer.plan, dynamic=False) if compiled else peer.plan
    observation, mean = torch.randn(OBSERVATION), torch.zeros(HORIZON, ACTION)
    return lambda: plan(observation, mean, search)


def case_of_bench(binary, case, device, seconds):
    measured, _ = rates.results(rates.start(binary, case, seconds, arguments=("--device", device)))
    (result,) = measured.values()
    return 1e3 * rates.seconds_of(result, "cpu_time" if device == "cpu" else "real_time")


def program(folder, name):
    """A benchmark of pompc, wherever it is in the folder."""
    found = next((path for path in folder.rglob(name) if path.is_file()), None)
    if found is None:
        sys.exit(f"--build {folder}: has no {name}; build it with -DPOMPC_BENCH=ON")
    return found


def columns(flags):
    """What is measured, in the order in which it is: (what, column) -> function of the seconds."""
    cases = {}
    bfloat16 = flags.device != "cpu" or any(
        flag in pathlib.Path("/proc/cpuinfo").read_text() for flag in ("amx_bf16", "avx512_bf16"))
    # Called at once: a lambda in a loop would see the last size.
    bench = lambda binary, case: lambda seconds: case_of_bench(binary, f"^{case}/", flags.device, seconds)
    peer = lambda call: lambda seconds: per_call(call, flags.device, seconds)
    for size in flags.sizes:
        what = f"update, {size}, batch {SIZES[size][-1]}"
        update = lambda suffix, size=size: bench(program(flags.build, "update_bench"), f"BM_Update/{size}{suffix}")
        cases[what, "pompc"] = update("")
        if bfloat16:
            cases[what, "pompc, bfloat16"] = update("_bfloat16")
        cases[what, "ATen operations"] = update("_eager")
        cases[what, "PyTorch"] = peer(update_of_peer(size, flags.device, False))
        if flags.compile:
            cases[what, "PyTorch, compiled"] = peer(update_of_peer(size, flags.device, True))
        if flags.device != "cpu":
            continue
        what = f"plan, {size}, {SEARCHES[size][0]} samples x {SEARCHES[size][1]}"
        plan = lambda suffix, size=size: bench(program(flags.build, "plan_bench"), f"BM_Plan/{size}{suffix}/1")
        cases[what, "pompc"] = plan("")
        if bfloat16:
            cases[what, "pompc, bfloat16"] = plan("_bfloat16")
        cases[what, "PyTorch"] = peer(plan_of_peer(size, False))
        if flags.compile:
            cases[what, "PyTorch, compiled"] = peer(plan_of_peer(size, True))
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--build", type=pathlib.Path, default="build/release/bench", help="pompc's benchmarks")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--compile", action="store_true", help="measure the peer compiled by torch.compile as well")
    parser.add_argument("--seconds", type=float, default=5, help="of each of the measurements")
    parser.add_argument("--turns", type=integer(1, 100), default=3)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name(flags.device) if flags.device.startswith("cuda") else "CPU, one thread"
    print(f"{name}, PyTorch {torch.__version__}, milliseconds: median of {flags.turns} turns (least, most)")
    cases = columns(flags)
    turns = {case: [] for case in cases}
    for _ in range(flags.turns):
        for case, measure in cases.items():
            turns[case].append(measure(flags.seconds))
    print("\n| what | by | ms | times as long as the fastest |\n|---|---|---|---|")
    for (what, column), values in turns.items():
        fastest = min(statistics.median(turns[case]) for case in turns if case[0] == what)
        print(f"| {what} | {column} | {rates.summary(values, 2)} | {statistics.median(values) / fastest:.1f} |", flush=True)


if __name__ == "__main__":
    main()
