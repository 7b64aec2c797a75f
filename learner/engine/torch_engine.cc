#include "learner/engine/torch_engine.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <deque>
#include <iterator>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"
#include "common/values/not_finite.h"
#include "common/values/split_mix.h"
#include "learner/engine/plan_ages.h"
#include "learner/engine/torch_state.h"
#include "learner/update/ranks.h"
#include "learner/update/reanalyze.h"
#include "learner/update/updater.h"
#include "model/device.h"

namespace pompc::learner {
namespace {

// Plans may come out as NaN too: a name beside those of the losses.
constexpr char kPlans[] = "plans";
// A counter in the metadata of an updater's state.
constexpr char kSeed[] = "updater.seed";

class TorchBatch : public Engine::Batch {
 public:
  // The windows of one shard, in the order of the batch.
  struct Share {
    uint32_t shard = 0;
    replay::Opening opening;
    int64_t count = 0;
    std::vector<uint64_t> addresses;  // [count, H+1]
  };

  TorchBatch(update::Batch tensors, std::vector<Share> shares)
      : tensors_(std::move(tensors)),
        shares_(std::make_shared<const std::vector<Share>>(std::move(shares))) {}
  const update::Batch& tensors() const { return tensors_; }
  update::Batch& tensors() { return tensors_; }
  const std::vector<Share>& shares() const { return *shares_; }
  // The same, for those that outlive the batch.
  std::shared_ptr<const std::vector<Share>> kept_shares() const { return shares_; }

 private:
  update::Batch tensors_;
  const std::shared_ptr<const std::vector<Share>> shares_;
};

// Puts a column of several shares one after the other into a tensor.
at::Tensor Join(const std::vector<replay::WindowBatch>& shares, size_t column,
                const std::vector<int64_t>& shape) {
  const bool floats = replay::kColumns[column].element == replay::Element::kFloat;
  at::Tensor joined = at::empty(shape, floats ? at::kFloat : at::kByte);
  auto* to = static_cast<std::byte*>(joined.data_ptr());
  const std::byte* const end = to + joined.nbytes();
  for (const replay::WindowBatch& share : shares) {
    POMPC_CHECK_LE(share.bytes(column), static_cast<size_t>(end - to),
                   replay::kColumns[column].name);
    share.CopyTo(column, to);
    to += share.bytes(column);
  }
  POMPC_CHECK(to == end, replay::kColumns[column].name);
  return joined;
}

void AppendNumbers(const at::Tensor& floats, std::vector<float>* to) {
  const at::Tensor contiguous = floats.contiguous();
  const float* from = contiguous.data_ptr<float>();
  to->insert(to->end(), from, from + contiguous.numel());
}

// NCCL exchanges between GPUs without the CPU, where this LibTorch has it.
bool UsesNccl(at::Device device) { return device.is_cuda() && update::HasNccl(); }

class TorchEngine : public Engine {
 public:
  TorchEngine(const proto::RunConfig& config, at::Device device, const TorchEngineOptions& options,
              std::unique_ptr<update::Updater> updater)
      : config_(config),
        horizon_(config.planner().horizon()),
        publish_dtype_(config.learner().publish_dtype() == proto::LearnerConfig::BFLOAT16
                           ? at::kBFloat16
                           : at::kFloat),
        device_(device),
        options_(options),
        updater_(std::move(updater)) {}

  void PrepareThread() override { model::SetComputeThreads(options_.threads); }

  absl::Status Connect(std::shared_ptr<Rendezvous> rendezvous) override;
  absl::StatusOr<std::vector<int64_t>> Exchange(int64_t own) override;

  absl::StatusOr<std::unique_ptr<Batch>> MakeBatch(const std::vector<replay::WindowBatch>& shares,
                                                   std::span<const float> weights) override;

  absl::StatusOr<NamedValues> Step(const Batch& batch, bool want_values) override {
    POMPC_ASSIGN_OR_RETURN(const update::UpdateMetrics metrics,
                           updater_->Step(Own(batch).tensors(), want_values));
    if (Own(batch).tensors().importance.defined()) {
      drawn_.push_back(Own(batch).kept_shares());
    }
    NamedValues values;
    if (!want_values) return values;
    for (const auto& [name, value] : metrics.Named()) values.emplace_back(name, value);
    return values;
  }

  std::vector<PriorityUpdate> TakePriorities() override;

  absl::StatusOr<std::vector<PlanUpdate>> Reanalyze(Batch& batch) override;

  absl::StatusOr<std::vector<uint32_t>> FindUnusable(const Batch& batch) override {
    // Each rank looks at its own part, for as long as that takes: how many halves it looks at
    // depends on its windows, so the ranks cannot exchange anything meanwhile.
    updater_->Join(nullptr);
    absl::StatusOr<std::vector<uint32_t>> found = updater_->FindUnusable(Own(batch).tensors());
    updater_->Join(ranks_);
    return found;
  }

  std::vector<std::string> ValueNames() const override {
    std::vector<std::string> names;
    for (const auto& [name, value] : update::UpdateMetrics().Named()) names.emplace_back(name);
    return names;
  }

  std::vector<std::string> LossNames() const override {
    std::vector<std::string> names(std::begin(update::kLosses), std::end(update::kLosses));
    names.emplace_back(kPlans);
    return names;
  }
  absl::Status Keep() override;
  void GoBack() override {
    drawn_.clear();
    updater_->GoBack();
  }

  uint64_t update_count() const override { return static_cast<uint64_t>(updater_->update_count()); }

  absl::StatusOr<std::shared_ptr<const std::string>> PackParameters(
      proto::ParametersDescription* description) override;

  std::unique_ptr<State> Export() override { return MakeTorchState(updater_->Export()); }

  absl::Status Import(const std::string& folder) override;

 private:
  // A batch that MakeBatch made.
  static const TorchBatch& Own(const Batch& batch) {
    POMPC_DCHECK(dynamic_cast<const TorchBatch*>(&batch) != nullptr);
    return static_cast<const TorchBatch&>(batch);
  }
  // This rank's part of a number of the whole batch; the parts of all ranks add up to it.
  int64_t Part(int64_t whole) const {
    return whole * (options_.rank + 1) / options_.world_size -
           whole * options_.rank / options_.world_size;
  }
  // Seed of the plans to be made next; unrelated on any two ranks.
  uint64_t PlanSeed() const {
    const uint64_t seed = MixSeed(config_.seed(), update_count());
    return options_.rank == 0 ? seed : MixSeed(seed, options_.rank);
  }

  const proto::RunConfig config_;
  const int64_t horizon_;
  const at::ScalarType publish_dtype_;
  const at::Device device_;
  const TorchEngineOptions options_;
  // Null: there are no others.
  std::shared_ptr<update::Ranks> ranks_;
  const std::unique_ptr<update::Updater> updater_;
  // For po_mpc.plan_half_life_versions.
  PlanAges plan_ages_;
  // The origins of the windows of each update whose priorities were not taken yet.
  std::deque<std::shared_ptr<const std::vector<TorchBatch::Share>>> drawn_;
};

absl::Status TorchEngine::Connect(std::shared_ptr<Rendezvous> rendezvous) {
  if (options_.world_size == 1) return absl::OkStatus();
  POMPC_CHECK(ranks_ == nullptr, "connected twice");
  const update::RankOptions ranks = {.rank = options_.rank,
                                     .size = options_.world_size,
                                     .host = options_.host,
                                     .timeout = options_.timeout};
  POMPC_ASSIGN_OR_RETURN(ranks_, UsesNccl(device_)
                                     ? update::ConnectNccl(ranks, device_, std::move(rendezvous))
                                     : update::ConnectGloo(ranks, std::move(rendezvous)));
  updater_->Join(ranks_);
  return updater_->Synchronize();
}

absl::Status TorchEngine::Import(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(update::UpdaterState state, ReadTorchState(folder));
  // Batches and environments follow the config's seed, and so does everything else: a resumed run
  // with another seed draws other numbers from here on. Without the counter, or with one that
  // cannot be, Import says so.
  const std::string seed = absl::StrCat(config_.seed());
  std::string before = seed;
  const auto found = state.metadata.find(kSeed);
  if (found != state.metadata.end() && update::CounterProblem(kSeed, found->second).empty()) {
    before = std::exchange(found->second, seed);
  }
  POMPC_RETURN_IF_ERROR(updater_->Import(state));
  if (before != seed) {
    Log().warn("{} is of seed {}; everything random follows the config's seed {} from here on",
               folder, before, seed);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> TorchEngine::Exchange(int64_t own) {
  if (ranks_ == nullptr) return std::vector<int64_t>{own};
  POMPC_ASSIGN_OR_RETURN(const at::Tensor all, ranks_->Gather(at::full({1}, own, at::kLong)));
  const int64_t* numbers = all.data_ptr<int64_t>();
  return std::vector<int64_t>(numbers, numbers + all.numel());
}

absl::Status TorchEngine::Keep() {
  const absl::Status kept = updater_->Keep();
  if (ranks_ == nullptr) return kept;
  // NaN comes out on all ranks at once, or on none: a rank that alone refuses to keep its state has
  // other parameters, and its 0 is found below.
  const int64_t own = kept.ok() ? updater_->Checksum() : 0;
  POMPC_ASSIGN_OR_RETURN(const std::vector<int64_t> all, Exchange(own));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    return absl::InternalError(absl::StrCat("after update ", update_count(), " rank ", rank,
                                            " has other parameters than rank 0"));
  }
  Log().debug("after update {} all ranks have the parameters {:016x}", update_count(),
              static_cast<uint64_t>(own));
  return kept;
}

absl::StatusOr<std::unique_ptr<Engine::Batch>> TorchEngine::MakeBatch(
    const std::vector<replay::WindowBatch>& shares, std::span<const float> weights) {
  int64_t b = 0;
  for (const replay::WindowBatch& share : shares) b += share.count();
  update::Batch batch;
  for (const update::BatchColumn& column : update::kBatchColumns) {
    batch.*column.tensor =
        Join(shares, column.column, column.Shape(b, horizon_, config_.env().spec()));
  }
  if (!weights.empty()) {
    POMPC_CHECK_EQ(weights.size(), static_cast<size_t>(b));
    batch.importance = at::tensor(at::ArrayRef<float>(weights.data(), weights.size()));
  }
  if (config_.po_mpc().plan_half_life_versions() > 0) {
    std::vector<ParameterVersion> versions;
    for (const replay::WindowBatch& share : shares) {
      const auto own = share.Numbers<ParameterVersion>("versions");
      versions.insert(versions.end(), own.begin(), own.end());
    }
    POMPC_CHECK_EQ(versions.size(), static_cast<size_t>(b));
    batch.plan_age = at::tensor(plan_ages_.Of(versions));
  }
  // Only Reanalyze and priorities need to know where windows come from, so the addresses (H + 1 for
  // each window) are copied only if either is wanted.
  std::vector<TorchBatch::Share> origins;
  if (config_.learner().reanalyze().every_updates() == 0 && weights.empty()) {
    return std::make_unique<TorchBatch>(std::move(batch), std::move(origins));
  }
  for (const replay::WindowBatch& share : shares) {
    origins.push_back({share.info().shard_index(), share.opening(), share.count(),
                       share.Numbers<uint64_t>("addresses")});
  }
  return std::make_unique<TorchBatch>(std::move(batch), std::move(origins));
}

std::vector<PriorityUpdate> TorchEngine::TakePriorities() {
  std::vector<PriorityUpdate> updates;
  for (const at::Tensor& priorities : updater_->TakePriorities()) {
    POMPC_CHECK(!drawn_.empty(), "priorities of no update");
    const float* of_window = priorities.data_ptr<float>();
    for (const TorchBatch::Share& share : *drawn_.front()) {
      PriorityUpdate& update = updates.emplace_back();
      update.shard = share.shard;
      update.opening = share.opening;
      for (int64_t b = 0; b < share.count; ++b, ++of_window) {
        // An update whose numbers are not finite may be noticed late, and is then undone: its
        // windows keep their priorities.
        if (!std::isfinite(*of_window)) continue;
        update.addresses.push_back(share.addresses[b * (horizon_ + 1)]);
        update.priorities.push_back(*of_window);
      }
    }
    drawn_.pop_front();
  }
  return updates;
}

absl::StatusOr<std::vector<PlanUpdate>> TorchEngine::Reanalyze(Batch& batch) {
  TorchBatch& own = const_cast<TorchBatch&>(Own(batch));
  const int64_t count = Part(config_.learner().reanalyze().batch());
  update::Reanalyzed plans;
  bool finite = true;
  if (count > 0) {
    plans = update::Reanalyze(updater_->model(), config_, count, PlanSeed(), own.tensors());
    finite = plans.plan_mean.isfinite().all().item<bool>();
  }
  // Plans that are not finite end the update on all ranks, also on those whose own part is fine.
  POMPC_ASSIGN_OR_RETURN(const std::vector<int64_t> all, Exchange(finite ? 1 : 0));
  if (std::find(all.begin(), all.end(), 0) != all.end()) {
    return NotFiniteError(kPlans, "plans of the current model are not finite");
  }
  // The windows of a batch stand one share after the other, those that are re-planned in ascending
  // order: one pass over both finds the shard and the addresses of each. State t of a window is its
  // row t; the H+1st address, of the state at the window's end, got no plan.
  std::vector<PlanUpdate> updates;
  int64_t begin = 0;
  size_t i = 0;
  for (const TorchBatch::Share& share : own.shares()) {
    PlanUpdate update;
    update.shard = share.shard;
    update.opening = share.opening;
    for (; i < plans.windows.size() && plans.windows[i] < begin + share.count; ++i) {
      const auto first = share.addresses.begin() + (plans.windows[i] - begin) * (horizon_ + 1);
      update.addresses.insert(update.addresses.end(), first, first + horizon_);
      AppendNumbers(plans.plan_mean[static_cast<int64_t>(i)], &update.plan_mean);
      AppendNumbers(plans.plan_std[static_cast<int64_t>(i)], &update.plan_std);
    }
    if (!update.addresses.empty()) updates.push_back(std::move(update));
    begin += share.count;
  }
  POMPC_CHECK_EQ(i, plans.windows.size(), "windows of no shard");
  return updates;
}

absl::StatusOr<std::shared_ptr<const std::string>> TorchEngine::PackParameters(
    proto::ParametersDescription* description) {
  // Trained in float32, published as configured: the copy of the parameters is rounded, not they.
  POMPC_ASSIGN_OR_RETURN(
      model::PackedTensors packed,
      model::Pack(model::Convert(updater_->model().Parameters(), at::kFloat, publish_dtype_)));
  *description->mutable_config() = config_;
  for (const model::TensorEntry& entry : packed.table) {
    proto::TensorDescription* tensor = description->add_tensors();
    tensor->set_name(entry.name);
    tensor->set_dtype(entry.dtype);
    tensor->mutable_shape()->Add(entry.shape.begin(), entry.shape.end());
    tensor->set_offset(entry.offset);
    tensor->set_bytes(entry.bytes);
  }
  return std::make_shared<const std::string>(std::move(packed.data));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Engine>> MakeTorchEngine(const proto::RunConfig& given,
                                                        const TorchEngineOptions& options) {
  if (options.threads < 1 || options.threads > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads: ", options.threads, "; allowed: 1 to 1024"));
  }
  POMPC_ASSIGN_OR_RETURN(const at::Device device, model::ParseDevice(options.device));
  if (options.world_size > 1 && !UsesNccl(device) && !update::HasGloo()) {
    return absl::UnimplementedError(
        absl::StrCat("world_size: this LibTorch cannot connect processes on ", options.device,
                     " (docs/build.md, Gloo); allowed: 1"));
  }
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, config::Derive(given));
  // Before the first tensor, so that no operation runs with more threads. Updates free and allocate
  // the same megabytes over and over, which the allocator must not return to the system.
  model::SetComputeThreads(options.threads);
  model::SetBlasThreads(options.threads);
  KeepFreedMemory();
  std::unique_ptr<update::Updater> updater = update::Updater::Create(config, device, config.seed());
  for (const std::string& warning :
       {model::BlasWarning(), model::MatmulWarning(config.model().matmul_dtype(), device)}) {
    if (!warning.empty()) Log().warn("{}", warning);
  }
  Log().info("updates multiply {}", model::MatmulText(config.model().matmul_dtype(), device));
  return std::make_shared<TorchEngine>(config, device, options, std::move(updater));
}

}  // namespace pompc::learner
