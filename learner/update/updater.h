// The PO-MPC update: one gradient step on world model, values, prior and policy from a batch of
// windows.
#ifndef POMPC_LEARNER_UPDATE_UPDATER_H_
#define POMPC_LEARNER_UPDATE_UPDATER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/update/draws.h"
#include "learner/update/learnables.h"
#include "learner/update/losses.h"
#include "learner/update/ranks.h"
#include "model/recorder.h"
#include "model/torch_compat.h"

namespace pompc::update {

// All that one update computes, in the order of its steps.
struct Evaluation {
  Windows windows;
  Targets targets;
  ModelLosses losses;
  at::Tensor total;                // losses.Total()
  at::Tensor priorities;           // WindowPriorities; undefined without Batch::importance
  std::optional<PriorLoss> prior;  // nothing where no prior is trained from this batch
  PolicyTerms policy;
  at::Tensor policy_loss;  // undefined where the policy is not trained from this batch
  // The running scales after they followed this batch: those the policy's loss is divided by.
  at::Tensor value_scale, kl_scale;
  // The gradient of every parameter that an optimiser steps, named as the parameter, before
  // clipping. Evaluate alone fills them in.
  model::NamedTensors gradients;
};

// Owns the world model, target networks, second ensemble, prior policy, optimisers and running
// scales. Not thread-safe: one thread updates; what other threads read, they read from a Clone() of
// model(). All randomness of update n is a function of (seed, n).
class Updater {
 public:
  // `config` is one that config::Derive made.
  static std::unique_ptr<Updater> Create(const proto::RunConfig& config, at::Device device,
                                         uint64_t seed, at::ScalarType dtype = at::kFloat);

  // From now on Step makes its share of an update that all ranks make: its batch is this rank's
  // part of the whole one, as large as the others', and the parameters that come out are the same
  // on all. Every rank must Join, then Synchronize, then Step. Null: it is alone again.
  void Join(std::shared_ptr<Ranks> ranks) { ranks_ = std::move(ranks); }
  // The state becomes that of rank 0; also called by all after rank 0 imported one.
  // INVALID_ARGUMENT when the ranks have models of different sizes, otherwise the statuses of
  // Ranks; then the state is undefined. REQUIRES: ranks were joined.
  absl::Status Synchronize();

  // A checksum of the parameters that are trained, bit by bit, and of the number of updates: it is
  // the same on ranks that agree. Waits for the device.
  int64_t Checksum() { return learned_->Checksum(); }

  // One update; the batch is best in host memory. Metrics are filled in only if wanted (they cost a
  // wait for the device); with other ranks all must want them, and get those of the whole batch.
  // INVALID_ARGUMENT for a batch of wrong shapes, nothing changed. NotFiniteError naming the loss
  // whose gradient is not finite, and the update: GoBack. The update is incomplete and that
  // optimiser did not step; with a recorder all did. Checked in every update on the CPU, elsewhere
  // when metrics are wanted. With other ranks, both come on all of them at once, and UNAVAILABLE as
  // Ranks says: then the update is incomplete as well, and ranks must be joined again.
  absl::StatusOr<UpdateMetrics> Step(const Batch& batch, bool want_metrics);

  // The priorities of the windows of each update whose batch had importance weights, in order,
  // which were not taken yet: float32 [B] on the CPU. On a device that works behind the host those
  // of the newest update come with a later call, so that nothing waits for it. GoBack drops all of
  // them.
  std::vector<at::Tensor> TakePriorities();

  // Computes what Step would from these draws, all of it at the parameters as they are (in Step,
  // the optimisers of the model and of the values step before the policy's loss is computed). The
  // state stays as it is. INVALID_ARGUMENT for a batch or for draws of wrong shapes, naming them.
  // REQUIRES: no ranks are joined.
  absl::StatusOr<Evaluation> Evaluate(const Batch& batch, const Draws& draws);

  // Positions, ascending, of the windows of `batch` whose losses, gradients or running scales are
  // NaN or infinite at the present state, which stays as it is: no update can be made with them.
  // Looks at halves of halves, so that one such window of B costs about as much as three updates,
  // and B of them as much as log2(B). Where all windows of a half are usable alone and not
  // together, it is all of them. INVALID_ARGUMENT as Batch::Validate(). REQUIRES: no ranks are
  // joined.
  absl::StatusOr<std::vector<uint32_t>> FindUnusable(const Batch& batch);

  // The networks that planners need: encoder, dynamics, reward, termination, plain Q (online),
  // sampling policy.
  const model::WorldModel& model() const { return learned_->world_model; }
  // Updates made, those before an import included.
  int64_t update_count() const { return static_cast<int64_t>(learned_->updates); }
  const proto::RunConfig& config() const { return model().config(); }
  // The values that the update trains, in the order of Evaluation's.
  const std::vector<ValueHead>& heads() const { return learned_->heads; }

  // A copy on the CPU of the full state; `metadata` holds the scalars under names that start with
  // "updater.".
  UpdaterState Export() const { return learned_->Export(); }
  // Overwrites the state. INVALID_ARGUMENT naming what is missing or of another shape, a setting
  // that changes the layout (model.*, po_mpc.alpha of 0 or 1), or as CheckValues; then nothing
  // changed.
  absl::Status Import(const UpdaterState& state) { return learned_->Import(state); }

  // Puts a copy of the state aside, on its device and in place of an earlier one, if all of it is
  // finite. Otherwise NotFiniteError naming the losses that changed what is not; the earlier copy
  // stays. Waits for the device.
  absl::Status Keep() { return learned_->Keep(); }
  // Returns to what was kept last, bit for bit. REQUIRES: Keep was OK once.
  void GoBack() {
    priorities_.clear();
    learned_->GoBack();
  }

  // Says how operations reach the device. Null, as it is for a CPU unless set: each as it comes,
  // and each gradient is looked at before it is used; so it is always with other ranks. With a
  // recorder, as for other devices unless set (model::MakeRecorder): nothing waits for the device;
  // what an update takes in goes through Recorder::Load, and its operations are one program with a
  // variant for each combination of whether the batch has plans, whether the prior was trained
  // before, and whether metrics are wanted. The numbers are the same.
  void SetRecorder(std::unique_ptr<model::Recorder> recorder) { recorder_ = std::move(recorder); }

 private:
  // The way in which an update is made.
  struct Manner {
    // Optimisers step, and target networks follow. If not, gradients stay where they accumulate.
    bool steps = true;
    // Each gradient is looked at before it is used, which waits for the device.
    bool checked = false;
    MetricTensors* metrics = nullptr;  // nullptr: not wanted
  };

  Updater(model::WorldModel world_model, uint64_t seed);

  at::TensorOptions options() const { return model().flat().options(); }
  absl::StatusOr<UpdateMetrics> StepDirectly(const Batch& batch, bool want_metrics);
  absl::StatusOr<UpdateMetrics> StepThroughRecorder(const Batch& batch, bool want_metrics);
  // These do what the host does before and after the operations of an update: they count.
  void CountSteps(bool any_plan);
  void CountUpdate(bool any_plan);

  // The operations of an update on e.windows; the rest of `e` is what they compute.
  absl::Status MakeUpdate(const Draws& draws, const Manner& manner, Evaluation& e);
  // Differentiates `loss` and steps the optimisers of that step. NotFiniteError naming the loss.
  absl::Status Minimize(UpdateStep step, const at::Tensor& loss, const Manner& manner);
  // S_q and S_k follow the first states of the whole batch.
  absl::Status FollowScales(const Windows& windows, const PolicyTerms& terms);
  // Says whether the policy is trained. With neither values nor plans to follow its entropy would
  // be all: it would grow wide.
  bool PolicyLearns(bool any_plan) const { return config().po_mpc().alpha() < 1 || any_plan; }
  void FollowTargets();

  // With other ranks: makes what `windows` say of the plans in the batch that of the whole batch,
  // and checks that the ranks are about to make the same update. INVALID_ARGUMENT naming the rank
  // whose batch has other sizes, INTERNAL naming the one that is at another update.
  absl::Status AgreeWithRanks(Windows& windows) const;
  // The numbers of all ranks one after the other; those of `x` [n] where there are no others.
  absl::StatusOr<at::Tensor> OfAllRanks(const at::Tensor& x) const;
  // The metrics of the whole batch, from those of its equal parts.
  absl::StatusOr<UpdateMetrics> OfWholeBatch(const at::Tensor& packed) const;
  // The gradient of the whole batch's loss, from those of its equal parts.
  absl::Status AverageGradient(const Adam& optimizer) const;
  // The sizes of the whole batch, the other ranks' parts included.
  BatchSize WholeBatch(const Batch& batch) const;
  // The random numbers of the next update, of the whole batch.
  RandomNumbers DrawNext(const Batch& batch) const;
  // This rank's part of the draws made of them.
  Draws DrawShare(const RandomNumbers& numbers, const Batch& batch) const;

  absl::Status FindUnusable(const Batch& batch, int64_t begin, int64_t count,
                            std::vector<uint32_t>* found);

  const std::unique_ptr<Learnables> learned_;
  // Null: there are no others.
  std::shared_ptr<Ranks> ranks_;
  // Null: updates are made directly.
  std::unique_ptr<model::Recorder> recorder_;
  // These wait for the priorities of an update, and give them.
  std::deque<std::function<at::Tensor()>> priorities_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_UPDATER_H_
