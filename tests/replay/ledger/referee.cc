// The referee of the acked-row ledger plays the run's learner: it configures the shards, moves
// their bounds up and down, samples, replaces plans and bars windows. Everything that a shard
// answers is compared with the script and with what it may say. With --audit it looks instead, once
// all writers have ended, for all that they were told is stored. Ends with 0 when it was told to
// end, 1 at the first thing that is wrong, which it names.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/process/signals.h"
#include "replay/core/random.h"
#include "tests/replay/ledger/audit.h"
#include "tests/replay/ledger/referee_options.h"
#include "tests/replay/ledger/windows.h"

namespace pompc::replay::ledger {
namespace {

[[noreturn]] void Fail(const std::string& why) {
  fprintf(stderr, "ledger referee: %s\n", why.c_str());
  _exit(1);
}

// The most rows that a shard may have accepted, as far as its learner knows.
class Bound {
 public:
  // A grant whose call failed may still be on its way for as long as the slowest connection lasts.
  static constexpr absl::Duration kLate = absl::Seconds(30);

  void Begin(const proto::ShardInfo& info) {
    most_ = std::max(info.accepted_rows(), info.max_accepted_rows());
  }
  void Granting(uint64_t rows) { most_ = std::max(most_, rows); }
  void Granted(const proto::ShardInfo& info) {
    if (Clock::Real()->Now() < unsure_until_) return;
    most_ = std::max(info.accepted_rows(), info.max_accepted_rows());
  }
  void Unsure() { unsure_until_ = Clock::Real()->Now() + kLate; }

  uint64_t most() const { return most_; }

 private:
  uint64_t most_ = 0;
  absl::Duration unsure_until_;
};

// The learner of one shard.
class ShardReferee {
 public:
  struct Counts {
    uint64_t grants = 0, lowered = 0, windows = 0, replanned = 0, barred = 0, failed_calls = 0;
  };

  ShardReferee(const RefereeOptions& options, ShardClient* client, uint32_t shard)
      : options_(options),
        client_(client),
        shard_(shard),
        script_(options.seed),
        random_(options.seed + 1000 * options.incarnation + shard) {}

  void Run(Event* stop) {
    absl::Duration last = Clock::Real()->Now();
    while (!stop->WaitUntil(Clock::Real(), last + absl::Milliseconds(40))) {
      const absl::Duration now = Clock::Real()->Now();
      Step(absl::ToDoubleSeconds(now - last));
      last = now;
    }
  }
  const Counts& counts() const { return counts_; }

 private:
  void Step(double seconds) {
    if (!configured_) {
      const auto info = client_->Configure();
      if (!Answered(info.status())) return;
      if (!begun_) bound_.Begin(*info);
      begun_ = configured_ = true;
      Check(*info);
    }
    const auto info = client_->Info();
    if (!Answered(info.status())) return;
    Check(*info);
    if (!Grant(*info, seconds)) return;
    if (info->windows() > 0) Sample();
  }

  // Moves the bound up with time, and sometimes below what is accepted.
  bool Grant(const proto::ShardInfo& info, double seconds) {
    // Fewer than before if the shard was killed before it had made all of them durable.
    const uint64_t taken = info.accepted_rows() - std::min(info.accepted_rows(), accepted_);
    accepted_ = info.accepted_rows();
    allowance_ += seconds * options_.rows_per_second - static_cast<double>(taken);
    allowance_ = std::clamp(allowance_, 0.0, 2.0 * options_.rows_per_second);
    uint64_t rows = info.accepted_rows() + random_.Below(static_cast<uint64_t>(allowance_) + 1);
    if (random_.Below(8) == 0) {
      rows = info.accepted_rows() - std::min(info.accepted_rows(), random_.Below(100));
      ++counts_.lowered;
    }
    bound_.Granting(rows);
    const auto granted = client_->Grant({rows, "the referee lets no more rows in", false});
    if (!Answered(granted.status())) {
      bound_.Unsure();
      return false;
    }
    Check(*granted);
    if (granted->max_accepted_rows() != rows) {
      Fail(absl::StrCat("shard ", shard_, " was granted ", rows, " rows and says ",
                        granted->max_accepted_rows()));
    }
    bound_.Granted(*granted);
    ++counts_.grants;
    return true;
  }

  void Sample() {
    const auto batch =
        client_->Sample(static_cast<uint32_t>(1 + random_.Below(64)), random_.Next());
    // The last window may just have been evicted or barred.
    if (absl::IsFailedPrecondition(batch.status()) || !Answered(batch.status())) return;
    Check(batch->info());
    if (batch->opening() != opening_) {
      opening_ = batch->opening();
      places_.clear();
    }
    const DrawnWindows windows(*batch);
    std::vector<SeenWindow> seen;
    for (size_t b = 0; b < windows.count(); ++b) {
      const auto window = CheckWindow(script_, windows, b);
      if (!window.ok()) Fail(absl::StrCat("shard ", shard_, ": ", window.status().ToString()));
      CheckPlace(*window);
      seen.push_back(*window);
      ++counts_.windows;
    }
    if (random_.Below(4) == 0) Replan(batch->opening(), seen);
    if (random_.Below(64) == 0) Bar(batch->opening(), seen[0]);
  }

  // Within one opening an address belongs to one row.
  void CheckPlace(const SeenWindow& window) {
    const auto [it, is_new] = places_.emplace(window.addresses[0], window.name);
    if (!is_new && it->second != window.name) {
      Fail(absl::StrCat("shard ", shard_, " address ", it->first, ": ", it->second.ToString(),
                        " became ", window.name.ToString()));
    }
  }

  void Replan(const Opening& opening, const std::vector<SeenWindow>& seen) {
    std::vector<uint64_t> addresses;
    std::vector<float> mean, std;
    for (const SeenWindow& window : seen) {
      const Row row = script_.MakeRow(window.name, Script::Plan::kRefreshed);
      addresses.push_back(window.addresses[0]);
      mean.insert(mean.end(), row.plan_mean.begin(), row.plan_mean.end());
      std.insert(std.end(), row.plan_std.begin(), row.plan_std.end());
    }
    const auto reply = client_->UpdatePlans(opening, addresses, mean, std);
    if (Answered(reply.status())) counts_.replanned += reply->updated();
  }

  void Bar(const Opening& opening, const SeenWindow& window) {
    const auto reply = client_->BarWindows(opening, {{window.addresses[0]}});
    if (Answered(reply.status())) counts_.barred += reply->barred();
  }

  // What a shard says about itself at any time.
  void Check(const proto::ShardInfo& info) {
    if (info.has_loaded_percent()) return;
    const auto fail = [&](absl::string_view what) {
      Fail(absl::StrCat("shard ", shard_, ": ", what, ": ", info.ShortDebugString()));
    };
    if (info.accepted_rows() > bound_.most()) {
      fail(absl::StrCat("accepted more than the ", bound_.most(), " rows that were granted"));
    }
    if (info.stored_rows() > info.accepted_rows()) fail("stores more than it accepted");
    if (info.stored_rows() > options_.capacity_rows) fail("stores more than its capacity");
    if (info.windows() + info.barred_windows() > info.stored_rows()) fail("has too many windows");
  }

  // True if a call was answered. Otherwise the shard is killed, stopped or out of reach.
  bool Answered(const absl::Status& status) {
    if (status.ok()) return true;
    ++counts_.failed_calls;
    switch (status.code()) {
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kDeadlineExceeded:
      case absl::StatusCode::kCancelled:
      // The disk is slower than the writers.
      case absl::StatusCode::kResourceExhausted:
        break;
      default:
        Fail(absl::StrCat("shard ", shard_, ": ", status.ToString()));
    }
    configured_ = false;
    return false;
  }

  const RefereeOptions& options_;
  ShardClient* const client_;
  const uint32_t shard_;
  const Script script_;
  Random random_;
  bool begun_ = false;
  bool configured_ = false;
  Bound bound_;
  Opening opening_;
  // Rows that the shard may still take of those that time has brought, and what it had taken.
  double allowance_ = 0;
  uint64_t accepted_ = 0;
  // The rows at the addresses of this opening.
  std::unordered_map<uint64_t, RowName> places_;
  Counts counts_;
};

int Referee(const RefereeOptions& options, Event* stop) {
  const std::vector<std::unique_ptr<ShardClient>> clients = options.Clients();
  std::vector<std::unique_ptr<ShardReferee>> referees;
  std::vector<std::thread> threads;
  for (uint32_t s = 0; s < clients.size(); ++s) {
    referees.push_back(std::make_unique<ShardReferee>(options, clients[s].get(), s));
    threads.emplace_back([referee = referees.back().get(), stop] { referee->Run(stop); });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t s = 0; s < clients.size(); ++s) {
    const ShardReferee::Counts& counts = referees[s]->counts();
    printf(
        "shard %u: %lu grants (%lu lowered), %lu windows checked, %lu rows replanned, %lu windows "
        "barred, %lu calls failed\n",
        s, counts.grants, counts.lowered, counts.windows, counts.replanned, counts.barred,
        counts.failed_calls);
  }
  return 0;
}

}  // namespace
}  // namespace pompc::replay::ledger

int main(int argc, char** argv) {
  pompc::BlockSignals();
  pompc::replay::ledger::RefereeOptions options;
  bool audit = false;
  CLI::App app("The learner of the acked-row ledger.");
  app.add_option("--shards", options.shards)->required();
  app.add_option("--folder", options.folder)->required();
  app.add_option("--seed", options.seed);
  app.add_option("--incarnation", options.incarnation);
  app.add_option("--horizon", options.horizon);
  app.add_option("--capacity-rows", options.capacity_rows);
  app.add_option("--rows-per-second", options.rows_per_second);
  app.add_flag("--audit", audit);
  CLI11_PARSE(app, argc, argv);
  if (audit) return pompc::replay::ledger::Audit(options);
  pompc::Event stop;
  pompc::SignalHandler signals([&stop](int) { stop.Set(); });
  return pompc::replay::ledger::Referee(options, &stop);
}
