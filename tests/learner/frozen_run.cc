// Trains on a frozen replay: a fixed set of windows in the file FOLDER.replay (made if there is
// none), of which update n sees those that follow from n. With checkpoints as a learner makes them,
// and resumed as a learner does. For tests that end it in all ways, and for those that need a
// checkpoint.
//
//   frozen_run FOLDER UPDATES HOLD_AT [FIELD=VALUE...]
//
// Checkpoints go to FOLDER, every kCheckpointEvery updates and at the end. After update HOLD_AT
// (0: never) it says "holding" and waits for ever. The config may be changed field by field.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/config/run_config.h"
#include "common/io/files.h"
#include "common/values/float_bytes.h"
#include "learner/checkpoint.h"
#include "learner/checkpoint_writer.h"
#include "learner/engine/torch_engine.h"
#include "replay/core/random.h"
#include "rundir/checkpoint_store.h"
#include "tests/replay/window_batch_testing.h"

namespace pompc::learner {
namespace {

constexpr uint32_t kObservation = 5;
constexpr uint32_t kAction = 2;
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kWindows = 200;
constexpr uint32_t kBatch = 16;
constexpr uint64_t kCheckpointEvery = 5;
constexpr char kRunId[] = "frozen";

absl::StatusOr<proto::RunConfig> ConfigWith(const std::vector<std::string>& overrides) {
  config::RunConfigSources sources;
  sources.overrides = {"seed=11",
                       "env.task=external",
                       absl::StrCat("env.spec.observation_size=", kObservation),
                       absl::StrCat("env.spec.action_size=", kAction),
                       "env.spec.episode_decisions=500",
                       "env.spec.terminates=true",
                       "model.size=tiny",
                       "model.mlp_dim=32",
                       "model.latent_dim=16",
                       "model.num_q=3",
                       absl::StrCat("learner.batch_size=", kBatch)};
  sources.overrides.insert(sources.overrides.end(), overrides.begin(), overrides.end());
  return config::LoadRunConfig(sources);
}

std::string Floats(replay::Random* random, uint32_t count, float low, float high) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = low + (high - low) * static_cast<float>(random->Below(100000)) / 100000;
  }
  return ToBytes(absl::MakeConstSpan(values));
}

// Every third window has no plans, every fifth ends in a terminal state.
void MakeWindow(uint64_t number, proto::Windows* windows) {
  replay::Random random(number + 1);
  windows->mutable_observations()->append(Floats(&random, (kHorizon + 1) * kObservation, -1, 1));
  windows->mutable_actions()->append(Floats(&random, kHorizon * kAction, -1, 1));
  windows->mutable_rewards()->append(Floats(&random, kHorizon, 0, 1));
  windows->mutable_plan_mean()->append(Floats(&random, (kHorizon + 1) * kAction, -1, 1));
  windows->mutable_plan_std()->append(Floats(&random, (kHorizon + 1) * kAction, 0.1f, 1));
  std::string terminated(kHorizon, '\0');
  terminated.back() = number % 5 == 0 ? '\1' : '\0';
  windows->mutable_terminated()->append(terminated);
  windows->mutable_has_plan()->append(std::string(kHorizon + 1, number % 3 == 0 ? '\0' : '\1'));
  windows->mutable_addresses()->append(std::string((kHorizon + 1) * 8, '\0'));
  windows->mutable_versions()->append(std::string(16, '\0'));
  windows->mutable_draws()->append(std::string(8, '\0'));
  const float certain = 1;
  windows->mutable_probabilities()->append(reinterpret_cast<const char*>(&certain),
                                           sizeof(certain));
}

// All windows, from the file.
absl::StatusOr<proto::Windows> LoadReplay(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    proto::Windows made;
    for (uint32_t number = 0; number < kWindows; ++number) MakeWindow(number, &made);
    POMPC_RETURN_IF_ERROR(MakeFolders(std::filesystem::path(path).parent_path().string()));
    POMPC_RETURN_IF_ERROR(WriteFileAtomically(path, made.SerializeAsString()));
  }
  POMPC_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  proto::Windows windows;
  if (!windows.ParseFromString(content)) return absl::DataLossError(path);
  return windows;
}

// Appends the bytes of one of the windows in `all`.
void AppendWindow(const std::string& all, uint64_t number, std::string* windows) {
  const size_t size = all.size() / kWindows;
  windows->append(all, number * size, size);
}

absl::StatusOr<replay::WindowBatch> BatchOf(const proto::Windows& all, uint64_t update) {
  replay::Random random(update + 1000);
  proto::SampleReply reply;
  proto::Windows& windows = *reply.mutable_windows();
  windows.set_count(kBatch);
  windows.set_horizon(kHorizon);
  for (uint32_t i = 0; i < kBatch; ++i) {
    const uint64_t number = random.Below(kWindows);
    AppendWindow(all.observations(), number, windows.mutable_observations());
    AppendWindow(all.actions(), number, windows.mutable_actions());
    AppendWindow(all.rewards(), number, windows.mutable_rewards());
    AppendWindow(all.plan_mean(), number, windows.mutable_plan_mean());
    AppendWindow(all.plan_std(), number, windows.mutable_plan_std());
    AppendWindow(all.terminated(), number, windows.mutable_terminated());
    AppendWindow(all.has_plan(), number, windows.mutable_has_plan());
    AppendWindow(all.addresses(), number, windows.mutable_addresses());
    AppendWindow(all.versions(), number, windows.mutable_versions());
    AppendWindow(all.draws(), number, windows.mutable_draws());
    AppendWindow(all.probabilities(), number, windows.mutable_probabilities());
  }
  return replay::BatchOf(reply, {kObservation, kAction}, kBatch, kHorizon);
}

absl::Status StepOnce(const proto::Windows& all, Engine* engine) {
  std::vector<replay::WindowBatch> shares;
  POMPC_ASSIGN_OR_RETURN(replay::WindowBatch windows, BatchOf(all, engine->update_count()));
  shares.push_back(std::move(windows));
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<Engine::Batch> batch, engine->MakeBatch(shares, {}));
  return engine->Step(*batch, false).status();
}

std::unique_ptr<Checkpoint> CheckpointOf(Engine* engine, const proto::RunConfig& config) {
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->info.run_id = kRunId;
  checkpoint->info.learner_incarnation = 1;
  checkpoint->info.progress.updates = engine->update_count();
  checkpoint->info.progress.seed_closed = true;
  checkpoint->info.progress.rows.past_rows = engine->update_count() + 100;
  checkpoint->info.config = config::ToText(config);
  checkpoint->engine = engine->Export();
  return checkpoint;
}

absl::Status Train(const std::string& folder, uint64_t updates, uint64_t hold_at,
                   const std::vector<std::string>& overrides) {
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, ConfigWith(overrides));
  POMPC_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine, MakeTorchEngine(config, {}));
  engine->PrepareThread();
  POMPC_ASSIGN_OR_RETURN(const proto::Windows windows, LoadReplay(folder + ".replay"));
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<rundir::CheckpointStore> store,
                         rundir::CheckpointStore::Open(folder, 3));
  POMPC_RETURN_IF_ERROR(RestoreNewest(store.get(), kRunId, engine.get()).status());
  std::cout << "begins at " << engine->update_count() << std::endl;
  CheckpointWriter writer(std::move(store), Clock::Real());
  while (engine->update_count() < updates) {
    POMPC_RETURN_IF_ERROR(StepOnce(windows, engine.get()));
    if (engine->update_count() % kCheckpointEvery == 0)
      writer.Write(CheckpointOf(engine.get(), config), /*pin=*/false);
    if (engine->update_count() != hold_at) continue;
    std::cout << "holding" << std::endl;
    while (true) ::pause();
  }
  return writer.WriteAndWait(CheckpointOf(engine.get(), config));
}

}  // namespace
}  // namespace pompc::learner

int main(int argc, char** argv) {
  uint64_t updates = 0;
  uint64_t hold_at = 0;
  if (argc < 4 || !absl::SimpleAtoi(argv[2], &updates) || !absl::SimpleAtoi(argv[3], &hold_at)) {
    std::cerr << "usage: frozen_run FOLDER UPDATES HOLD_AT [FIELD=VALUE...]" << std::endl;
    return 2;
  }
  const absl::Status status =
      pompc::learner::Train(argv[1], updates, hold_at, {argv + 4, argv + argc});
  if (status.ok()) return 0;
  std::cerr << status.ToString() << std::endl;
  return 1;
}
