#ifndef POMPC_LEARNER_FEED_SAMPLE_VALUES_H_
#define POMPC_LEARNER_FEED_SAMPLE_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "learner/engine/engine.h"

namespace pompc::learner {

// Identifies a window in replay: its first row in an opening of a shard.
struct WindowAddress {
  uint32_t shard = 0;
  replay::Opening opening;
  uint64_t address = 0;
};

// The origin of each window of a batch.
struct SampleOrigins {
  std::vector<WindowAddress> windows;  // [B]
  // The version that planned the first row of each window; not valid() if none did.
  std::vector<ParameterVersion> versions;  // [B]
  // The number of times that each was drawn so far, this time included.
  std::vector<uint64_t> draws;  // [B]
};

SampleOrigins OriginsOf(const std::vector<replay::WindowBatch>& shares);

// Columns of metrics.csv that tell of them, in the order of SampleValues.
std::vector<std::string> SampleValueNames();

// staleness_versions: how many versions newer than the one that planned them there were, the mean
// over the windows with a plan; those of an earlier start of the learner count as older than all of
// this one's. sample_draws: the mean of `draws`.
NamedValues SampleValues(const SampleOrigins& origins, ParameterVersion newest);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_SAMPLE_VALUES_H_
