// Updates a second made by one learner process and by two together, which share each batch: each a
// process of this machine, on one thread.
//
//   build/release/bench/learner/rank_bench [SECONDS]
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "bench/sized_config.h"
#include "common/base/rendezvous.h"
#include "common/base/threads.h"
#include "common/io/files.h"
#include "common/process/freed_memory.h"
#include "learner/update/updater.h"
#include "model/device.h"
#include "model/random.h"

namespace pompc::update {
namespace {

// Values as files of a folder.
class FolderRendezvous : public Rendezvous {
 public:
  explicit FolderRendezvous(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Put(const std::string& key, const std::string& value) override {
    return WriteFileAtomically(File(key), value);
  }
  absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) override {
    Clock* const clock = Clock::Real();
    const absl::Duration deadline = clock->Now() + timeout;
    while (!std::filesystem::exists(File(key))) {
      if (clock->Now() > deadline) return absl::DeadlineExceededError(key);
      Event().WaitUntil(clock, clock->Now() + absl::Milliseconds(5));
    }
    return ReadFile(File(key));
  }

 private:
  std::string File(std::string key) const {
    for (char& letter : key) {
      if (letter == '/') letter = '_';
    }
    return folder_ + "/" + key;
  }

  const std::string folder_;
};

at::Tensor Draw(uint64_t seed, at::IntArrayRef shape) {
  return model::Normal({seed}, {0, 0}, shape, at::kCPU)[0];
}

Batch MakeBatch(int64_t b) {
  Batch batch;
  batch.observations = Draw(1, {b, 4, 5});
  batch.actions = Draw(2, {b, 3, 1}).clamp(-1, 1);
  batch.rewards = Draw(3, {b, 3});
  batch.terminated = at::zeros({b, 3});
  batch.plan_mean = Draw(4, {b, 4, 1}).clamp(-1, 1);
  batch.plan_std = at::full({b, 4, 1}, 0.3);
  batch.has_plan = at::ones({b, 4});
  return batch;
}

struct Setting {
  const char* size;
  int64_t batch;
  int ranks;
  double seconds;
};

// What one rank does; rank 0 says how fast it was.
absl::Status RunRank(const Setting& setting, int rank, const std::string& folder) {
  model::SetComputeThreads(1);
  model::SetBlasThreads(1);
  KeepFreedMemory();
  const auto updater = Updater::Create(bench::SizedConfig(setting.size), at::kCPU, 1);
  std::shared_ptr<Ranks> ranks;
  if (setting.ranks > 1) {
    auto connected = ConnectGloo({.rank = rank, .size = setting.ranks},
                                 std::make_shared<FolderRendezvous>(folder));
    if (!connected.ok()) return connected.status();
    ranks = *std::move(connected);
    updater->Join(ranks);
    if (const absl::Status status = updater->Synchronize(); !status.ok()) return status;
  }
  const Batch batch = MakeBatch(setting.batch / setting.ranks);
  Clock* const clock = Clock::Real();
  absl::Duration start = clock->Now();
  int64_t updates = -3;  // to warm up
  bool more = true;
  while (more) {
    const auto metrics = updater->Step(batch, false);
    if (!metrics.ok()) return metrics.status();
    if (++updates == 0) start = clock->Now();
    more = updates <= 0 || clock->Now() - start < absl::Seconds(setting.seconds);
    if (ranks == nullptr) continue;
    // Rank 0 says when to end.
    const at::Tensor flag = at::full({1}, more ? 1 : 0, at::kLong);
    if (const absl::Status status = ranks->Broadcast(flag); !status.ok()) return status;
    more = flag.item<int64_t>() != 0;
  }
  if (rank == 0) {
    std::printf("%-5s batch %3d, %d ranks: %7.2f updates a second\n", setting.size,
                static_cast<int>(setting.batch), setting.ranks,
                static_cast<double>(updates) / absl::ToDoubleSeconds(clock->Now() - start));
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

// Starts the ranks before anything of LibTorch has run in this process.
bool Run(const Setting& setting) {
  std::string folder = (std::filesystem::temp_directory_path() / "rank_bench_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return false;
  for (int rank = 0; rank < setting.ranks; ++rank) {
    if (fork() != 0) continue;
    const absl::Status status = RunRank(setting, rank, folder);
    if (!status.ok()) std::fprintf(stderr, "rank %d: %s\n", rank, status.ToString().c_str());
    std::_Exit(status.ok() ? 0 : 1);
  }
  bool ok = true;
  for (int rank = 0; rank < setting.ranks; ++rank) {
    int status = 0;
    ok = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && ok;
  }
  std::filesystem::remove_all(folder);
  return ok;
}

}  // namespace
}  // namespace pompc::update

int main(int argc, char** argv) {
  double seconds = 10;
  if (argc > 2 || (argc == 2 && !absl::SimpleAtod(argv[1], &seconds))) {
    std::fprintf(stderr, "usage: rank_bench [SECONDS]\n");
    return 2;
  }
  bool ok = true;
  for (const auto& [size, batch] : {std::pair("tiny", 128), std::pair("5M", 256)}) {
    for (const int ranks : {1, 2}) ok = pompc::update::Run({size, batch, ranks, seconds}) && ok;
  }
  return ok ? 0 : 1;
}
