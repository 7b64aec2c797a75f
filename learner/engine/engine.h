#ifndef POMPC_LEARNER_ENGINE_ENGINE_H_
#define POMPC_LEARNER_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/rendezvous.h"
#include "proto/parameters.pb.h"
#include "replay/client/window_batch.h"
#include "replay/core/opening.h"

namespace pompc::learner {

// What an update reports, in a fixed order: columns of metrics.csv.
using NamedValues = std::vector<std::pair<std::string, double>>;

// Re-made plans, to be written back to the shard that holds the rows.
struct PlanUpdate {
  uint32_t shard = 0;
  // What the addresses belong to.
  replay::Opening opening;
  std::vector<uint64_t> addresses;         // [n]
  std::vector<float> plan_mean, plan_std;  // [n, A]
};

// Priorities of windows of one shard, which the updates that drew them found.
struct PriorityUpdate {
  uint32_t shard = 0;
  // The opening of the shard that the addresses belong to.
  replay::Opening opening;
  std::vector<uint64_t> addresses;  // [n]: of the windows' first rows
  std::vector<float> priorities;    // [n], finite and not negative
};

// Makes updates out of batches, and knows its own state. The trainer around it knows neither
// LibTorch nor losses. MakeBatch and PrepareThread may be called from any thread, the rest from one
// at a time.
//
// Engines of several processes, the ranks, may make each update together, each out of its part of
// the batch. After Connect, the calls Exchange, Step, Reanalyze and Keep wait for the other ranks,
// so all ranks make the same calls in the same order. A NotFiniteError then comes on every rank.
// UNAVAILABLE means that another rank is gone or too late; none of these calls succeeds after that.
class Engine {
 public:
  // A batch as the engine wants it, for example as tensors.
  class Batch {
   public:
    virtual ~Batch() = default;
  };

  // A copy of everything a resumed engine needs to continue bit for bit.
  class State {
   public:
    virtual ~State() = default;
    // Writes files into an existing folder; from any thread.
    virtual absl::Status Write(const std::string& folder) const = 0;
  };

  virtual ~Engine() = default;

  // Each thread calls this before it calls anything else.
  virtual void PrepareThread() {}

  // Connects to the other ranks, if there are any, and takes over the state of rank 0.
  virtual absl::Status Connect(std::shared_ptr<Rendezvous> rendezvous) { return absl::OkStatus(); }
  // Gives every rank the numbers of all ranks, in their order.
  virtual absl::StatusOr<std::vector<int64_t>> Exchange(int64_t own) {
    return std::vector<int64_t>{own};
  }

  // Makes one batch out of the shares of several shards. Each window counts in the update in
  // proportion to its weight; without `weights` all count alike. INVALID_ARGUMENT for windows of
  // other shapes. REQUIRES: `weights` are positive and one for each window, or empty.
  virtual absl::StatusOr<std::unique_ptr<Batch>> MakeBatch(
      const std::vector<replay::WindowBatch>& shares, std::span<const float> weights) = 0;

  // Makes one update. Returns values only if they are wanted, since they cost a wait for the
  // device. NotFiniteError naming a loss of LossNames() whose numbers are NaN or infinite: the
  // update is half made, and GoBack undoes it. On a GPU such an update may go unnoticed until Keep.
  virtual absl::StatusOr<NamedValues> Step(const Batch& batch, bool want_values) = 0;

  // Returns the priorities that updates have found since the last call, in the order of updates;
  // none unless the learner's table draws by priorities. On a GPU those of the newest update come
  // with a later call, so that nothing waits for the device. GoBack drops what was not taken.
  virtual std::vector<PriorityUpdate> TakePriorities() { return {}; }

  // Re-plans states of the batch, as learner.reanalyze says, puts the plans into the batch, and
  // returns them too, one PlanUpdate for each shard. NotFiniteError as Step. REQUIRES: MakeBatch
  // made the batch, and learner.reanalyze.every_updates is not 0.
  virtual absl::StatusOr<std::vector<PlanUpdate>> Reanalyze(Batch& batch) = 0;

  // To be called after GoBack. Returns the positions, ascending, of the windows of `batch` with
  // which no update can be made from the present state. Changes nothing and waits for no other
  // rank. An engine that cannot tell returns none.
  virtual absl::StatusOr<std::vector<uint32_t>> FindUnusable(const Batch& batch) {
    return std::vector<uint32_t>();
  }

  // Names of what Step reports.
  virtual std::vector<std::string> ValueNames() const = 0;

  // What NotFiniteError may name.
  virtual std::vector<std::string> LossNames() const = 0;

  // Updates made, those before an import included.
  virtual uint64_t update_count() const = 0;

  // Keeps a copy of the state in memory, which replaces the copy before. NotFiniteError if
  // something in the state is not finite; then the copy before stays. INTERNAL when the ranks no
  // longer have the same parameters. Waits for the device.
  virtual absl::Status Keep() = 0;
  // Returns to the state kept last, bit for bit. REQUIRES: Keep was OK once.
  virtual void GoBack() = 0;

  // Packs what planners need: fills in config and tensors of the description and returns the bytes.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> PackParameters(
      proto::ParametersDescription* description) = 0;

  virtual std::unique_ptr<State> Export() = 0;
  // Takes over what State::Write wrote into `folder`. DATA_LOSS when it cannot be read,
  // INVALID_ARGUMENT when it belongs to other settings, naming what differs; then nothing changed.
  virtual absl::Status Import(const std::string& folder) = 0;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ENGINE_ENGINE_H_
