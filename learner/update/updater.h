// The PO-MPC update: one gradient step on world model, values, prior and policy from a batch of
// windows.
#ifndef POMPC_LEARNER_UPDATE_UPDATER_H_
#define POMPC_LEARNER_UPDATE_UPDATER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/update/batch.h"
#include "learner/update/draws.h"
#include "learner/update/learnables.h"
#include "learner/update/losses.h"
#include "learner/update/metrics.h"
#include "learner/update/ranks.h"
#include "learner/update/recorder.h"
#include "model/torch_compat.h"
#include "model/world_model.h"
#include "proto/config.pb.h"

namespace pompc::update {

// What an update computes before its optimisers step.
struct Evaluation {
  Windows windows;
  Targets targets;
  ModelLosses losses;
  at::Tensor total;                // losses.Total()
  std::optional<PriorLoss> prior;  // nothing where no prior is trained from this batch
  PolicyTerms policy;
  at::Tensor policy_loss;
  // The running scales after they followed this batch: those the policy's loss is divided by.
  at::Tensor value_scale, kl_scale;
  // Of every parameter that an optimiser steps, named as the parameter; before clipping.
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
  ~Updater();

  // From now on Step makes its share of an update that all ranks make: its batch is this rank's
  // part of the whole one, as large as the others', and the parameters that come out are the same
  // on all. Every rank must Join, then Synchronize, then Step. Null: it is alone again.
  void Join(std::shared_ptr<Ranks> ranks);
  // The state becomes that of rank 0; also called by all after rank 0 imported one.
  // INVALID_ARGUMENT when the ranks have models of different sizes, as Ranks otherwise; then the
  // state is undefined.
  absl::Status Synchronize();

  // Of the parameters that are trained, bit by bit, and of the number of updates: the same on ranks
  // that agree. Waits for the device.
  int64_t Checksum();

  // One update; the batch is best in host memory. Metrics are filled in only if wanted (they cost a
  // wait for the device); with other ranks all must want them, and get those of the whole batch.
  // INVALID_ARGUMENT for a batch of wrong shapes, nothing changed. NotFiniteError naming the loss
  // whose gradient is not finite, and the update: GoBack. The update is incomplete and that
  // optimiser did not step; with a recorder all did. Checked in every update on the CPU, elsewhere
  // when metrics are wanted. With other ranks, both come on all of them at once, and UNAVAILABLE as
  // Ranks says: then the update is incomplete as well, and ranks must be joined anew.
  absl::StatusOr<UpdateMetrics> Step(const Batch& batch, bool want_metrics);

  // What Step would compute from these draws, all of it at the parameters as they are (in Step, the
  // optimisers of the model and of the values step before the policy's loss is computed). The state
  // stays as it is. INVALID_ARGUMENT for a batch or for draws of wrong shapes, naming them.
  // REQUIRES: no ranks were joined.
  absl::StatusOr<Evaluation> Evaluate(const Batch& batch, const Draws& draws);

  // What planners need: encoder, dynamics, reward, termination, plain Q (online), sampling policy.
  const model::WorldModel& model() const;
  // Updates made, those before an import included.
  int64_t update_count() const;
  const proto::RunConfig& config() const;

  // A copy on the CPU of the full state; `metadata` holds the scalars under names that start with
  // "updater.".
  UpdaterState Export() const;
  // Overwrites the state. INVALID_ARGUMENT naming what is missing or of another shape, a setting
  // that changes the layout (model.*, po_mpc.alpha of 0 or 1), or as CheckValues; then nothing
  // changed.
  absl::Status Import(const UpdaterState& state);

  // Puts a copy of the state aside, on its device and in place of an earlier one, if all of it is
  // finite. Otherwise NotFiniteError naming the losses that changed what is not; the earlier copy
  // stays. Waits for the device.
  absl::Status Keep();
  // Back to what was kept last, bit for bit. REQUIRES: Keep was OK once.
  void GoBack();

  // How operations reach the device. Null, as it is for a CPU unless set: each as it comes, and
  // each gradient looked at before it is used; so it is always with other ranks. With a recorder,
  // as for other devices unless set (MakeRecorder): nothing waits for the device; what an update
  // takes in goes through Recorder::Load, and its operations are one program with a variant for
  // each combination of whether the batch has plans, whether the prior was trained before, and
  // whether metrics are wanted. The numbers are the same.
  void SetRecorder(std::unique_ptr<Recorder> recorder);

 private:
  class Impl;
  explicit Updater(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_UPDATER_H_
