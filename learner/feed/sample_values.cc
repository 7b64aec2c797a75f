#include "learner/feed/sample_values.h"

#include <numeric>

namespace pompc::learner {
namespace {

double Mean(double sum, size_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); }

}  // namespace

SampleOrigins OriginsOf(const std::vector<replay::WindowBatch>& shares) {
  SampleOrigins origins;
  for (const replay::WindowBatch& share : shares) {
    const std::vector<uint64_t> addresses = share.Numbers<uint64_t>("addresses");
    // Addresses are those of all states of a window; its first one identifies it.
    const size_t states = share.count() == 0 ? 0 : addresses.size() / share.count();
    for (uint32_t b = 0; b < share.count(); ++b) {
      origins.windows.push_back(
          {share.info().shard_index(), share.opening(), addresses[b * states]});
    }
    const auto versions = share.Numbers<ParameterVersion>("versions");
    origins.versions.insert(origins.versions.end(), versions.begin(), versions.end());
    const std::vector<uint64_t> draws = share.Numbers<uint64_t>("draws");
    POMPC_CHECK_EQ(draws.size(), share.count());
    origins.draws.insert(origins.draws.end(), draws.begin(), draws.end());
  }
  return origins;
}

std::vector<std::string> SampleValueNames() { return {"staleness_versions", "sample_draws"}; }

NamedValues SampleValues(const SampleOrigins& origins, ParameterVersion newest) {
  double staleness = 0;
  size_t planned = 0;
  for (const ParameterVersion& version : origins.versions) {
    if (!version.valid()) continue;
    ++planned;
    // Numbers count publications of one start. What an earlier start published is older than all
    // of this one's, however high its number.
    const uint64_t before = version.incarnation == newest.incarnation ? version.number : 0;
    staleness += static_cast<double>(newest.number - before);
  }
  const double draws = std::accumulate(origins.draws.begin(), origins.draws.end(), 0.0);
  const std::vector<std::string> names = SampleValueNames();
  return {{names[0], Mean(staleness, planned)}, {names[1], Mean(draws, origins.draws.size())}};
}

}  // namespace pompc::learner
