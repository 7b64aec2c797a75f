// A batch of windows of experience.
#ifndef POMPC_LEARNER_UPDATE_BATCH_H_
#define POMPC_LEARNER_UPDATE_BATCH_H_

#include <vector>

#include "absl/status/status.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"
#include "replay/core/row.h"

namespace pompc::update {

// B windows of H decisions; O and A are the sizes of an observation and an action. Tensors may be
// of any real dtype and on any device; the updater converts them.
struct Batch {
  at::Tensor observations;  // [B, H+1, O]
  at::Tensor actions;       // [B, H, A], in [-1, 1]
  at::Tensor rewards;       // [B, H]
  at::Tensor terminated;    // [B, H], not 0: a true terminal state followed
  // The planner's Gaussian at each observation; ignored where has_plan is 0.
  at::Tensor plan_mean;  // [B, H+1, A]
  at::Tensor plan_std;   // [B, H+1, A], > 0
  at::Tensor has_plan;   // [B, H+1], 0: no plan was made there (seed phase, end of an episode)
  // What the terms of each window are multiplied by in every loss, up to a factor that is common to
  // the batch: its largest number counts as 1. [B], > 0; undefined: all windows count alike. Not a
  // column of replay, which knows the probabilities that they are made of.
  at::Tensor importance;
  // The number of versions that the parameters which planned each window's first state are behind,
  // [B], >= 0; undefined: plans count alike. It is no column of replay, which knows versions alone.
  at::Tensor plan_age;

  // INVALID_ARGUMENT naming the tensor, its shape and the shape wanted. B and H follow from
  // `actions`.
  absl::Status Validate(const proto::RunConfig& config) const;
};

// Which columns of replay's windows a batch consists of, and where each of them goes. Shapes and
// names follow from replay's schema.
struct BatchColumn {
  size_t column;  // its number in replay::kColumns
  at::Tensor Batch::*tensor;

  // [B, H or H + 1] and, for vectors, their size.
  std::vector<int64_t> Shape(int64_t batch, int64_t horizon, const proto::EnvSpec& spec) const;
};
inline constexpr BatchColumn kBatchColumns[] = {
    {replay::ColumnOf<float>("observations").index, &Batch::observations},
    {replay::ColumnOf<float>("actions").index, &Batch::actions},
    {replay::ColumnOf<float>("rewards").index, &Batch::rewards},
    {replay::ColumnOf<uint8_t>("terminated").index, &Batch::terminated},
    {replay::ColumnOf<float>("plan_mean").index, &Batch::plan_mean},
    {replay::ColumnOf<float>("plan_std").index, &Batch::plan_std},
    {replay::ColumnOf<uint8_t>("has_plan").index, &Batch::has_plan},
};

// INVALID_ARGUMENT naming `name`, its shape and the shape wanted, unless `tensor` is defined and
// has that shape.
absl::Status CheckShape(const char* name, const at::Tensor& tensor,
                        const std::vector<int64_t>& shape);

// All tensors of the batch that are defined.
std::vector<at::Tensor*> TensorsOf(Batch& batch);

// A batch as the update works on it: time first, one row per (step, window), in the model's dtype
// and on its device.
struct Windows {
  int64_t horizon = 0;
  int64_t batch = 0;
  at::Tensor observations;  // [H+1, B, O]
  at::Tensor actions;       // [H * B, A]
  at::Tensor rewards;       // [H, B]
  at::Tensor terminated;    // [H, B], 0 or 1
  // w_b rho^t / (H B): a sum over rows with these weights is (1/H) sum_t rho^t mean_batch w.
  at::Tensor weights;  // [H * B]
  // w_b of each window, at most 1 in the whole batch: Batch::importance over its largest number.
  // Both are undefined where all windows count alike.
  at::Tensor importance;          // [B]
  at::Tensor largest_importance;  // a scalar

  // The planner at states 0..H.
  at::Tensor plan_mean;  // [(H+1) * B, A]
  at::Tensor plan_std;   // [(H+1) * B, A]
  at::Tensor has_plan;   // [(H+1) * B], 0 or 1
  // The weight of the plan where it is followed, 2^-(age / po_mpc.plan_half_life_versions), and 0
  // where there is none. [(H+1) * B]
  at::Tensor plan_weight;

  // The states at which prior and policy learn: the first T of 0..H.
  int64_t policy_rows = 0;    // T B
  at::Tensor policy_weights;  // [T * B]: w_b rho^t / (T B)
  bool any_plan = false;      // whether any of these states has a plan
  // These scalars are sums over the whole batch, those of all ranks: of policy_weights, and of
  // policy_weights times plan_weight.
  at::Tensor policy_weight;
  at::Tensor planned_weight;

  // Divides by `largest` in place of the largest number of this batch, as the part of a batch must
  // whose largest number is elsewhere. REQUIRES: importance is defined, `largest` is not smaller.
  void SetLargestImportance(double largest);

  // The rows of `x` that belong to these states.
  at::Tensor OfPolicy(const at::Tensor& x) const { return x.narrow(0, 0, policy_rows); }
};

// True if any of the states at which prior and policy learn has a plan. Waits for the device that
// the batch is on. REQUIRES: batch.Validate() is ok.
bool AnyPlan(const Batch& batch, const proto::RunConfig& config);

// T is H, and H + 1 with po_mpc.policy_at_window_end. `any_plan` is AnyPlan(batch, config): where
// it is given, nothing waits for a device. REQUIRES: batch.Validate() is ok.
Windows MakeWindows(const Batch& batch, bool any_plan, const proto::RunConfig& config,
                    const at::TensorOptions& options);
Windows MakeWindows(const Batch& batch, const proto::RunConfig& config,
                    const at::TensorOptions& options);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_BATCH_H_
