// One writer of the acked-row ledger: writes the rows of its script (script.h) to the shards, and
// into its ledger what they have acknowledged. Ends with 0 when it was told to end and everything
// is acknowledged, 3 when a shard refused it because a later start of the writer wrote, 1 for
// everything that must not happen.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/io/files.h"
#include "common/process/signals.h"
#include "common/rpc/endpoint.h"
#include "replay/client/trajectory_writer.h"
#include "replay/core/random.h"
#include "tests/replay/ledger/script.h"

namespace pompc::replay::ledger {
namespace {

struct Flags {
  std::string run_id = "ledger";
  uint32_t writer = 0;
  uint32_t incarnation = 1;
  uint32_t environments = 4;
  std::string shards;
  std::string folder;
  uint64_t seed = 0;
};

constexpr int kRefused = 3;

[[noreturn]] void Fail(const std::string& why) {
  fprintf(stderr, "ledger writer: %s\n", why.c_str());
  _exit(1);
}

class LedgerWriter {
 public:
  LedgerWriter(const Flags& flags, Event* stop)
      : script_(flags.seed), random_(flags.seed ^ flags.incarnation), stop_(stop) {
    const std::string path = flags.folder + "/" + LedgerName(flags.writer, flags.incarnation);
    ledger_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (ledger_ < 0) Fail("cannot make " + path);
    TrajectoryWriterOptions options = Options(flags);
    if (!options.Validate().ok()) Fail(options.Validate().ToString());
    for (uint32_t e = 0; e < flags.environments; ++e) {
      const Source source{flags.writer, flags.incarnation, e};
      environments_.push_back({ItemSequence(script_, source)});
    }
    writer_ = std::make_unique<TrajectoryWriter>(std::move(options), Clock::Real());
    for (uint32_t e = 0; e < flags.environments; ++e) {
      Note(e, 0);
      writer_->BeginEpisode(e);
    }
  }
  ~LedgerWriter() {
    writer_->Close();
    close(ledger_);
  }

  int Run() {
    while (!stop_->IsSet() && !refused_) {
      bool wrote = false;
      for (uint32_t e = 0; e < environments_.size(); ++e) {
        wrote |= Write(e, 1 + random_.Below(16));
        Record(e);
      }
      if (!wrote) stop_->WaitUntil(Clock::Real(), Clock::Real()->Now() + absl::Milliseconds(5));
    }
    return Finish();
  }

 private:
  struct Environment {
    ItemSequence next;
    uint64_t recorded = 0;
  };

  TrajectoryWriterOptions Options(const Flags& flags) {
    TrajectoryWriterOptions options;
    options.run_id = flags.run_id;
    options.actor_index = flags.writer;
    options.incarnation = flags.incarnation;
    options.spec = kSpec;
    const auto shards = rpc::ParseEndpoints("--shards", flags.shards);
    if (!shards.ok()) Fail(shards.status().ToString());
    for (const rpc::Endpoint& shard : *shards) {
      options.shards.push_back(shard.Channel({.max_reconnect_backoff = absl::Milliseconds(200)}));
    }
    for (uint32_t e = 0; e < flags.environments; ++e) {
      options.shard_of_environment.push_back((flags.writer + e) % shards->size());
    }
    options.max_unacked_rows = 128;
    // Faults that last shorter than a test must be noticed within it.
    options.flush_after = absl::Milliseconds(10);
    options.stream_max_age = absl::Seconds(8);
    options.progress_timeout = absl::Seconds(3);
    options.backoff = {.initial = absl::Milliseconds(10), .max = absl::Milliseconds(300)};
    options.seed = flags.seed + flags.incarnation;
    options.on_refused = [this](const Refusal& refusal) {
      // A shard refuses good rows of one writer alone: of a start that a later one has fenced.
      if (refusal.why.code() != absl::StatusCode::kFailedPrecondition) {
        Fail(absl::StrCat("refused: ", refusal.why.ToString()));
      }
      refused_ = true;
    };
    // The writer had to leave out rows that a shard had acknowledged and has no more.
    options.on_resumed = [](uint32_t environment) {
      Fail(absl::StrCat("acknowledged rows of environment ", environment, " are lost"));
    };
    return options;
  }

  // Writes up to `rows` rows of the environment, and the ends of episodes that come with them.
  bool Write(uint32_t e, uint64_t rows) {
    ItemSequence& next = environments_[e].next;
    bool wrote = false;
    for (uint64_t i = 0; i < rows; ++i) {
      const Row row = script_.MakeRow(next.name());
      const absl::Status status = writer_->Append(e, row.View(), absl::ZeroDuration());
      if (absl::IsDeadlineExceeded(status) || absl::IsAborted(status)) return wrote;
      if (!status.ok()) Fail(absl::StrCat(next.name().ToString(), ": ", status.ToString()));
      wrote = true;
      const bool last = next.name().row + 1 == next.episode().rows;
      next.Next();
      if (last && !EndEpisode(e)) return wrote;
    }
    return wrote;
  }

  bool EndEpisode(uint32_t e) {
    ItemSequence& next = environments_[e].next;
    if (next.is_final()) {
      const Row final = script_.MakeRow(next.name());
      const absl::Status status = writer_->EndEpisode(e, final.observation);
      if (absl::IsAborted(status)) return false;
      if (!status.ok()) Fail(absl::StrCat(next.name().ToString(), ": ", status.ToString()));
      next.Next();
    }
    writer_->BeginEpisode(e);
    return true;
  }

  void Record(uint32_t e) {
    const uint64_t acknowledged = writer_->Acknowledged(e);
    if (acknowledged == environments_[e].recorded) return;
    Note(e, acknowledged);
    environments_[e].recorded = acknowledged;
  }

  void Note(uint32_t e, uint64_t acknowledged) {
    // In one call, so that a kill leaves no half of a line in the middle.
    const std::string line = absl::StrCat(e, " ", acknowledged, "\n");
    const absl::Status status = WriteAll(ledger_, line, "the ledger");
    if (!status.ok()) Fail(status.ToString());
  }

  int Finish() {
    const absl::Duration give_up = Clock::Real()->Now() + absl::Seconds(60);
    while (!refused_) {
      const absl::Status status = writer_->Flush(absl::Milliseconds(50));
      for (uint32_t e = 0; e < environments_.size(); ++e) Record(e);
      if (status.ok()) return 0;
      if (!absl::IsDeadlineExceeded(status) || Clock::Real()->Now() > give_up) {
        Fail(absl::StrCat("the last rows: ", status.ToString()));
      }
    }
    return kRefused;
  }

  const Script script_;
  Random random_;
  Event* const stop_;
  int ledger_ = -1;
  std::atomic<bool> refused_ = false;
  std::vector<Environment> environments_;
  std::unique_ptr<TrajectoryWriter> writer_;
};

}  // namespace
}  // namespace pompc::replay::ledger

int main(int argc, char** argv) {
  using pompc::replay::ledger::LedgerWriter;
  pompc::BlockSignals();
  pompc::replay::ledger::Flags flags;
  CLI::App app("A writer of the acked-row ledger.");
  app.add_option("--writer", flags.writer);
  app.add_option("--incarnation", flags.incarnation);
  app.add_option("--environments", flags.environments);
  app.add_option("--shards", flags.shards)->required();
  app.add_option("--folder", flags.folder)->required();
  app.add_option("--seed", flags.seed);
  CLI11_PARSE(app, argc, argv);
  pompc::Event stop;
  pompc::SignalHandler signals([&stop](int) { stop.Set(); });
  LedgerWriter writer(flags, &stop);
  return writer.Run();
}
