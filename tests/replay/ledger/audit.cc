#include "tests/replay/ledger/audit.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/io/files.h"
#include "replay/core/random.h"
#include "tests/replay/ledger/windows.h"

namespace pompc::replay::ledger {
namespace {

// The windows of one source that a shard has: first row -> its address.
using Windows = std::map<RowName, uint64_t>;

// What a shard has at a moment at which nothing changes it.
struct Holdings {
  proto::ShardInfo info;
  std::map<Source, Windows> windows;
};

// Draws until all windows were seen. Drawing uniformly sees each of n windows after n (ln n + c)
// draws but for one time in e^c; c = 30 leaves no doubt.
absl::StatusOr<Holdings> Draw(const Script& script, ShardClient* client, Random* random) {
  Holdings holdings;
  POMPC_ASSIGN_OR_RETURN(holdings.info, client->Configure());
  const uint64_t n = holdings.info.windows();
  const double draws = static_cast<double>(n) * (std::log(static_cast<double>(n + 1)) + 30);
  uint64_t seen = 0;
  for (double drawn = 0; seen < n && drawn < draws;) {
    const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(16384, 4 * n));
    POMPC_ASSIGN_OR_RETURN(const WindowBatch batch, client->Sample(count, random->Next()));
    drawn += count;
    const BatchColumns columns(batch);
    for (size_t b = 0; b < batch.count(); ++b) {
      POMPC_ASSIGN_OR_RETURN(const SeenWindow window, CheckWindow(script, columns, b));
      const auto [it, is_new] =
          holdings.windows[window.name.source].emplace(window.name, window.addresses[0]);
      seen += is_new ? 1 : 0;
      if (it->second != window.addresses[0]) {
        return absl::DataLossError(absl::StrCat(window.name.ToString(), " is stored twice, at ",
                                                it->second, " and ", window.addresses[0]));
      }
    }
  }
  if (seen != n) {
    return absl::DataLossError(absl::StrCat("of ", n, " windows only ", seen, " were drawn"));
  }
  return holdings;
}

absl::StatusOr<std::set<RowName>> ReadBarred(const std::string& path) {
  std::set<RowName> barred;
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    RowName name;
    if (words.size() != 5 || !absl::SimpleAtoi(words[0], &name.source.writer) ||
        !absl::SimpleAtoi(words[1], &name.source.incarnation) ||
        !absl::SimpleAtoi(words[2], &name.source.environment) ||
        !absl::SimpleAtoi(words[3], &name.episode) || !absl::SimpleAtoi(words[4], &name.row)) {
      return absl::DataLossError(absl::StrCat(path, ": line \"", line, "\""));
    }
    barred.insert(name);
  }
  return barred;
}

// Compares what is stored of one source with its ledger.
class SourceAudit {
 public:
  SourceAudit(const Script& script, uint32_t horizon, bool evicts, const std::set<RowName>& barred,
              const Windows& stored)
      : script_(script), horizon_(horizon), evicts_(evicts), barred_(barred), stored_(stored) {}

  // `acked` is the number of its items that were acknowledged.
  absl::Status Run(const Source& source, uint64_t acked) {
    ItemSequence items(script_, source);
    uint64_t address = 0;
    // Windows of the episode that `item` is in are complete once the item `horizon` behind is here.
    for (uint64_t item = 0; found_ < stored_.size() || item < acked; ++item, items.Next()) {
      if (items.is_final()) continue;
      if (!BeginsWindow(items)) continue;
      const auto it = stored_.find(items.name());
      if (it != stored_.end()) {
        ++found_;
        if (it->second < address) {
          return absl::DataLossError(absl::StrCat(items.name().ToString(), " is out of order"));
        }
        address = it->second;
      } else if (!barred_.contains(items.name()) && !MayBeAbsent(items, item, acked)) {
        return absl::DataLossError(
            absl::StrCat(items.name().ToString(), " was acknowledged and is not stored"));
      }
    }
    return absl::OkStatus();
  }

 private:
  bool BeginsWindow(const ItemSequence& items) const {
    const uint32_t windows = items.episode().windows(horizon_);
    return items.name().row < windows;
  }

  // A window is absent rightly if not all of it was acknowledged and nothing behind it is stored,
  // or if it was evicted, and nothing before it is stored.
  bool MayBeAbsent(const ItemSequence& items, uint64_t item, uint64_t acked) const {
    const uint64_t end =
        item + std::min<uint64_t>(horizon_, items.episode().items() - 1 - items.name().row);
    if (end >= acked && found_ == stored_.size()) return true;
    return evicts_ && found_ == 0;
  }

  const Script& script_;
  const uint32_t horizon_;
  const bool evicts_;
  const std::set<RowName>& barred_;
  const Windows& stored_;
  size_t found_ = 0;
};

absl::Status AuditShard(const RefereeOptions& options, ShardClient* client, uint32_t shard,
                        const Ledger& ledger, uint32_t shards) {
  const Script script(options.seed);
  Random random(options.seed + shard);
  POMPC_ASSIGN_OR_RETURN(const Holdings holdings, Draw(script, client, &random));
  POMPC_ASSIGN_OR_RETURN(const std::set<RowName> barred,
                         ReadBarred(options.folder + "/" + BarredName(shard)));
  const bool evicts = holdings.info.stored_rows() < holdings.info.accepted_rows();
  uint64_t acked = 0;
  for (const auto& [source, windows] : holdings.windows) {
    if (!ledger.contains(source) && (source.writer + source.environment) % shards != shard) {
      return absl::DataLossError(
          absl::StrCat(windows.begin()->first.ToString(), " is at a shard that is not its own"));
    }
  }
  for (const auto& [source, items] : ledger) {
    if ((source.writer + source.environment) % shards != shard) continue;
    const auto found = holdings.windows.find(source);
    const Windows none;
    SourceAudit audit(script, options.horizon, evicts, barred,
                      found == holdings.windows.end() ? none : found->second);
    POMPC_RETURN_IF_ERROR(audit.Run(source, items));
    acked += items;
  }
  printf(
      "shard %u: %lu items acknowledged, %lu rows accepted, %lu stored, %lu windows, %lu barred\n",
      shard, acked, holdings.info.accepted_rows(), holdings.info.stored_rows(),
      holdings.info.windows(), holdings.info.barred_windows());
  return absl::OkStatus();
}

}  // namespace

int Audit(const RefereeOptions& options) {
  const std::vector<std::unique_ptr<ShardClient>> clients = options.Clients();
  const auto ledger = ReadLedgers(options.folder);
  absl::Status status = ledger.status();
  for (uint32_t s = 0; status.ok() && s < clients.size(); ++s) {
    status =
        AuditShard(options, clients[s].get(), s, *ledger, static_cast<uint32_t>(clients.size()));
    if (!status.ok()) fprintf(stderr, "ledger audit: shard %u: ", s);
  }
  if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace pompc::replay::ledger
