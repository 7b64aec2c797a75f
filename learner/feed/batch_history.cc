#include "learner/feed/batch_history.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/process/log.h"

namespace pompc::learner {
namespace {

// Rows named of one shard.
constexpr size_t kNamedRows = 16;

std::string Names(uint32_t shard, const std::vector<uint64_t>& rows) {
  const size_t named = std::min(rows.size(), kNamedRows);
  const std::string more =
      named < rows.size() ? absl::StrCat(" and ", rows.size() - named, " more") : "";
  const auto end = rows.begin() + static_cast<ptrdiff_t>(named);
  return absl::StrCat(rows.size(), rows.size() == 1 ? " window" : " windows", " of shard ", shard,
                      rows.size() == 1 ? ": row " : ": rows ",
                      absl::StrJoin(rows.begin(), end, ", "), more);
}

}  // namespace

DrawnBatch& BatchHistory::Add(DrawnBatch batch) {
  // Batches hold their tensors; the bound keeps memory constant however seldom the state is kept.
  if (batches_.size() >= kBatches) batches_.pop_front();
  return batches_.emplace_back(std::move(batch));
}

BatchHistory::Barred BatchHistory::BarUnusable() {
  Barred barred;
  // The newest batch made the update that failed, so it most likely holds the window. Older ones
  // are looked at because losses are read only now and then: the damage may be several updates old.
  for (auto batch = batches_.rbegin(); batch != batches_.rend() && barred.windows == 0; ++batch) {
    const absl::StatusOr<std::vector<uint32_t>> found = engine_->FindUnusable(*batch->batch);
    if (!found.ok()) {
      Log().error("no window was looked at: {}", found.status().ToString());
      break;
    }
    const size_t windows = batch->origins.windows.size();
    POMPC_CHECK_LE(found->size(), windows);
    // Bad rows are rare. Where most of a batch is unusable the parameters are, and barring windows
    // would empty replay without helping.
    if (found->size() * 2 > windows) {
      Log().warn("{} of {} windows of a batch give NaN or infinity: the parameters are at fault",
                 found->size(), windows);
      break;
    }
    barred = Bar(batch->origins.windows, *found);
  }
  batches_.clear();
  return barred;
}

BatchHistory::Barred BatchHistory::Bar(const std::vector<WindowAddress>& windows,
                                       const std::vector<uint32_t>& positions) {
  // A window may stand in a batch several times.
  std::map<std::pair<uint32_t, replay::Opening>, std::set<uint64_t>> by_shard;
  for (const uint32_t position : positions) {
    POMPC_CHECK_LT(position, windows.size());
    const WindowAddress& window = windows[position];
    by_shard[{window.shard, window.opening}].insert(window.address);
  }
  Barred barred;
  std::vector<std::string> names;
  for (const auto& [shard, addresses] : by_shard) {
    const std::vector<uint64_t> rows(addresses.begin(), addresses.end());
    const absl::StatusOr<proto::BarWindowsReply> reply =
        (*shards_)[shard.first].BarWindows(shard.second, rows);
    if (!reply.ok()) {
      Log().warn("{} give NaN or infinity, but are not barred: {}", Names(shard.first, rows),
                 reply.status().ToString());
      continue;
    }
    barred_ += reply->barred();
    barred.windows += rows.size();
    names.push_back(Names(shard.first, rows));
  }
  barred.names = absl::StrJoin(names, "; ");
  return barred;
}

}  // namespace pompc::learner
