// Re-plans of states of a batch (BMPC's lazy reanalyze).
#ifndef POMPC_LEARNER_UPDATE_REANALYZE_H_
#define POMPC_LEARNER_UPDATE_REANALYZE_H_

#include <cstdint>
#include <vector>

#include "learner/update/batch.h"
#include "model/torch_compat.h"
#include "model/world_model.h"
#include "proto/config.pb.h"

namespace pompc::update {

// New plans at states 0..H-1 of n windows; float32 on the CPU.
struct Reanalyzed {
  std::vector<int64_t> windows;  // [n]: positions in the batch, evenly spread over it
  at::Tensor plan_mean;          // [n, H, A]
  at::Tensor plan_std;           // [n, H, A]
};

// Plans the states 0..H-1 of `count` windows (all, if there are fewer) with `model`, without warm
// starts, and puts the plans into the batch: it has them from then on, as plans of age 0. The
// policy proposes sequences with learner.reanalyze.log_std_min, where that is given (BMPC). All
// randomness follows from `seed`. REQUIRES: batch.Validate() is ok; the batch's floats are float32.
Reanalyzed Reanalyze(const model::WorldModel& model, const proto::RunConfig& config, int64_t count,
                     uint64_t seed, Batch& batch);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_REANALYZE_H_
