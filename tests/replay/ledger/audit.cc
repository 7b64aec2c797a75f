#include "tests/replay/ledger/audit.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "replay/client/row_reader.h"

namespace pompc::replay::ledger {
namespace {

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat(parts...));
}

// True if row `i` of a run has the numbers of `row` in all columns of plans, or in all others.
bool SameNumbers(const RowRun& run, size_t i, const Row& row, bool of_plan) {
  RowView expected = row.View();
  // A row without a plan has fillers where it is stored.
  expected.Set<uint8_t>("has_plan", row.has_plan);
  expected.Set<float>("plan_mean", row.plan_mean);
  expected.Set<float>("plan_std", row.plan_std);
  expected.Set<float>("plan_value", row.plan_value);
  expected.Set<ParameterVersion>("versions", row.version);
  for (size_t c = 0; c < kRowColumns; ++c) {
    if (kColumns[c].of_plan != of_plan) continue;
    const size_t n = kColumns[c].bytes(kSpec);
    const auto stored = run.rows.columns[c].subspan(i * n, n);
    if (!std::equal(stored.begin(), stored.end(), expected.columns[c].begin())) return false;
  }
  return true;
}

// The rows and final observations that a shard stores: name -> address.
class Holdings {
 public:
  explicit Holdings(const Script& script) : script_(script) {}

  absl::Status Add(const RowRun& run) {
    if (run.address != next_) return Wrong("behind address ", next_, " comes ", run.address);
    if (run.segment.segment != 0) return Wrong(run.segment.ToString(), ": its rows were lost");
    RowName name{{run.segment.actor_index, static_cast<uint32_t>(run.segment.incarnation),
                  run.segment.environment},
                 static_cast<uint32_t>(run.segment.episode),
                 static_cast<uint32_t>(run.first_row)};
    for (size_t i = 0; i < run.rows.count; ++i, ++name.row)
      POMPC_RETURN_IF_ERROR(AddRow(run, i, name));
    return run.rows.final_observation.empty() ? absl::OkStatus()
                                              : AddFinal(run.rows.final_observation, name);
  }

  // To be called first.
  void BeginAt(uint64_t address) { oldest_ = next_ = address; }
  uint64_t oldest() const { return oldest_; }
  uint64_t next() const { return next_; }
  const std::map<RowName, uint64_t>& addresses() const { return addresses_; }

 private:
  absl::Status AddRow(const RowRun& run, size_t i, const RowName& name) {
    const Episode episode = script_.EpisodeOf(name.source, name.episode);
    if (name.row >= episode.rows) return Wrong(name.ToString(), " was never written");
    const Row row = script_.MakeRow(name);
    if (!SameNumbers(run, i, row, /*of_plan=*/false)) return Wrong(name.ToString(), " is altered");
    if (!SameNumbers(run, i, row, /*of_plan=*/true) &&
        !SameNumbers(run, i, script_.MakeRow(name, Script::Plan::kRefreshed), /*of_plan=*/true)) {
      return Wrong(name.ToString(), ": its plan is altered");
    }
    return AddName(name);
  }

  absl::Status AddFinal(std::span<const float> observation, const RowName& name) {
    const Episode episode = script_.EpisodeOf(name.source, name.episode);
    if (!episode.has_final() || name.row != episode.rows) {
      return Wrong(name.ToString(), " is no final observation");
    }
    const Row row = script_.MakeRow(name);
    if (!std::equal(observation.begin(), observation.end(), row.observation.begin())) {
      return Wrong(name.ToString(), ": the final observation is altered");
    }
    return AddName(name);
  }

  absl::Status AddName(const RowName& name) {
    const auto [it, is_new] = addresses_.emplace(name, next_);
    if (!is_new) return Wrong(name.ToString(), " is stored twice, at ", it->second, " and ", next_);
    ++next_;
    return absl::OkStatus();
  }

  const Script& script_;
  uint64_t oldest_ = 0, next_ = 0;
  std::map<RowName, uint64_t> addresses_;
};

// What the rows of one shard add up to.
struct Sums {
  // Slots and rows that were evicted, as far as it is known of what they were.
  uint64_t evicted_slots = 0, evicted_rows = 0;
  // True if nothing else can have been evicted.
  bool complete = true;
  uint64_t windows = 0;
  uint64_t acked = 0;
};

// Compares what is stored of one source with its ledger.
class SourceAudit {
 public:
  SourceAudit(const Script& script, uint32_t horizon, const Holdings& holdings, Sums* sums)
      : script_(script), horizon_(horizon), holdings_(holdings), sums_(sums) {}

  // `acked` is the number of its items that were acknowledged.
  absl::Status Run(const Source& source, uint64_t acked) {
    const auto& addresses = holdings_.addresses();
    uint64_t left = Count(source);
    const bool stored = left > 0;
    uint64_t address = 0;
    bool first = true;
    ItemSequence items(script_, source);
    for (uint64_t item = 0; left > 0 || item < acked; ++item, items.Next()) {
      const auto it = addresses.find(items.name());
      if (it == addresses.end()) {
        if (!first) return Wrong(items.name().ToString(), " is missing between others");
        if (holdings_.oldest() == 0) return Wrong(items.name().ToString(), " is lost");
        ++sums_->evicted_slots;
        sums_->evicted_rows += items.is_final() ? 0 : 1;
        continue;
      }
      if (!first && it->second <= address) return Wrong(items.name().ToString(), ": wrong order");
      first = false;
      address = it->second;
      --left;
      sums_->windows += BeginsWindow(items) ? 1 : 0;
    }
    // Of a source with nothing left, more may have been evicted than was acknowledged.
    sums_->complete &= stored || holdings_.oldest() == 0;
    sums_->acked += acked;
    return absl::OkStatus();
  }

 private:
  uint64_t Count(const Source& source) const {
    const auto& addresses = holdings_.addresses();
    Source next = source;
    ++next.environment;
    return static_cast<uint64_t>(
        std::distance(addresses.lower_bound({source, 0, 0}), addresses.lower_bound({next, 0, 0})));
  }

  bool BeginsWindow(const ItemSequence& items) const {
    RowName end = items.name();
    const Episode& episode = items.episode();
    if (end.row >= episode.windows(horizon_)) return false;
    // The state behind the last row of the window: of one that is shorter, the final observation.
    end.row = std::min(end.row + horizon_, episode.rows);
    return holdings_.addresses().contains(end);
  }

  const Script& script_;
  const uint32_t horizon_;
  const Holdings& holdings_;
  Sums* const sums_;
};

absl::Status CheckSums(const RefereeOptions& options, const proto::ShardInfo& info,
                       const Holdings& holdings, const Sums& sums) {
  const uint64_t slots = holdings.next() - holdings.oldest();
  if (slots > options.capacity_rows) return Wrong(slots, " slots are stored");
  if (holdings.oldest() > 0 && slots < options.capacity_rows) {
    return Wrong(holdings.oldest(), " slots were evicted and only ", slots, " are stored");
  }
  const bool exact = sums.complete && sums.evicted_slots == holdings.oldest() &&
                     info.accepted_rows() == info.stored_rows() + sums.evicted_rows;
  const bool possible = !sums.complete && sums.evicted_slots <= holdings.oldest() &&
                        info.accepted_rows() >= info.stored_rows() + sums.evicted_rows;
  if (!exact && !possible) {
    return Wrong(info.accepted_rows(), " rows were accepted, ", info.stored_rows(), " are stored, ",
                 sums.evicted_rows, " evicted, with ", sums.evicted_slots, " of ",
                 holdings.oldest(), " slots");
  }
  if (info.windows() + info.barred_windows() != sums.windows) {
    return Wrong("the rows make ", sums.windows, " windows, and there are ", info.windows(),
                 " and ", info.barred_windows(), " barred ones");
  }
  return absl::OkStatus();
}

absl::Status AuditShard(const RefereeOptions& options, ShardClient* client,
                        const rpc::Endpoint& endpoint, const Ledger& ledger, uint32_t shards) {
  const uint32_t shard = client->options().shard_index;
  const Script script(options.seed);
  POMPC_ASSIGN_OR_RETURN(const proto::ShardInfo info, client->Configure());
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<RowReader> reader,
                         RowReader::Connect(endpoint, absl::Seconds(20)));
  Holdings holdings(script);
  holdings.BeginAt(reader->description().oldest_address());
  POMPC_RETURN_IF_ERROR(reader->Read({}, [&](const RowRun& run) -> absl::StatusOr<bool> {
    POMPC_RETURN_IF_ERROR(holdings.Add(run));
    return true;
  }));
  if (holdings.next() != reader->description().next_address()) {
    return Wrong("rows end at ", holdings.next(), ", not ", reader->description().next_address());
  }
  Ledger all = ledger;
  for (const auto& [name, address] : holdings.addresses()) {
    if ((name.source.writer + name.source.environment) % shards != shard) {
      return Wrong(name.ToString(), " is at a shard that is not its own");
    }
    // A writer that was killed before it could note anything.
    all.try_emplace(name.source, 0);
  }
  Sums sums;
  for (const auto& [source, items] : all) {
    if ((source.writer + source.environment) % shards != shard) continue;
    SourceAudit audit(script, options.horizon, holdings, &sums);
    POMPC_RETURN_IF_ERROR(audit.Run(source, items));
  }
  POMPC_RETURN_IF_ERROR(CheckSums(options, info, holdings, sums));
  printf(
      "shard %u: %lu items acknowledged, %lu rows accepted, %lu stored%s, %lu windows, %lu "
      "barred\n",
      shard, sums.acked, info.accepted_rows(), info.stored_rows(),
      holdings.oldest() == 0 ? ""
      : sums.complete        ? ", all others evicted"
                             : ", others evicted",
      info.windows(), info.barred_windows());
  return absl::OkStatus();
}

}  // namespace

int Audit(const RefereeOptions& options) {
  const std::vector<std::unique_ptr<ShardClient>> clients = options.Clients();
  const auto endpoints = rpc::ParseEndpoints("--shards", options.shards);
  const auto ledger = ReadLedgers(options.folder);
  absl::Status status = ledger.status();
  for (uint32_t s = 0; status.ok() && s < clients.size(); ++s) {
    status = AuditShard(options, clients[s].get(), (*endpoints)[s], *ledger,
                        static_cast<uint32_t>(clients.size()));
    if (!status.ok()) fprintf(stderr, "ledger audit: shard %u: ", s);
  }
  if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace pompc::replay::ledger
