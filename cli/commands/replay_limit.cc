#include "cli/commands/replay_limit.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/integer_flag.h"
#include "common/values/numbers.h"
#include "common/values/text_table.h"
#include "run/control/status_report.h"
#include "run/run_client.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);

struct Flags {
  std::string learner, run_dir, utd, certificates;
  std::optional<uint64_t> slack_rows, min_rows, max_rows;
};

absl::StatusOr<proto::RunLimits> Wanted(const Flags& flags) {
  proto::RunLimits limits;
  if (!flags.utd.empty()) {
    const std::optional<double> utd = ParseNumber(flags.utd);
    if (!utd.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--utd: \"", flags.utd, "\"; allowed: a number in decimal"));
    }
    limits.set_utd(*utd);
  }
  if (flags.slack_rows.has_value()) limits.set_slack_rows(*flags.slack_rows);
  if (flags.min_rows.has_value()) limits.set_min_rows(*flags.min_rows);
  if (flags.max_rows.has_value()) limits.set_max_rows(*flags.max_rows);
  return limits;
}

// The address at which the run is served. A run directory names its run too; an address does not.
absl::StatusOr<rundir::ServedRun> Find(const Flags& flags) {
  if (!flags.run_dir.empty()) return rundir::ReadServedRun(flags.run_dir);
  if (!flags.learner.empty()) return rundir::ServedRun{"", flags.learner};
  return absl::InvalidArgumentError("give --learner HOST:PORT or --run-dir DIR");
}

absl::Status Limit(const Flags& flags) {
  POMPC_ASSIGN_OR_RETURN(const proto::RunLimits wanted, Wanted(flags));
  POMPC_ASSIGN_OR_RETURN(rundir::ServedRun served, Find(flags));
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(flags.certificates, proto::Access::LEARNER));
  POMPC_ASSIGN_OR_RETURN(const auto endpoints,
                         rpc::ParseEndpoints("--learner", served.address, trust));
  const rpc::Endpoint& learner = endpoints.front();
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  if (served.run_id.empty()) {
    POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run, run::GetRun(learner, kTimeout));
    served.run_id = run.run_id();
  }
  // The call names the run, so that it cannot change another one that has taken over the address.
  POMPC_RETURN_IF_ERROR(run::ChangeLimits(learner, served.run_id, wanted, kTimeout).status());
  POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run, run::GetRun(learner, kTimeout));
  std::cout << FormatFields(run::LimiterFields(run.status()));
  return absl::OkStatus();
}

}  // namespace

Command AddReplayLimit(CLI::App& replay) {
  CLI::App* command = replay.add_subcommand(
      "limit", "Shows how rows and updates of a run hold each other back; changes the limits.");
  auto flags = std::make_shared<Flags>();
  command->add_option("--learner", flags->learner, "the learner's address")
      ->type_name("HOST:PORT")
      ->envname("POMPC_LEARNER");
  command
      ->add_option("--run-dir", flags->run_dir,
                   "the run's folder, which names its learner's address; goes before --learner")
      ->type_name("DIR");
  command->add_option("--utd", flags->utd, "updates per row from now on, as learner.utd")
      ->type_name("NUMBER");
  rpc::AddInteger(*command,
                  {"--slack-rows", "rows that may run ahead of updates, as replay.slack_rows"},
                  &flags->slack_rows);
  rpc::AddInteger(*command,
                  {"--min-rows", "rows that replay must hold for updates, as replay.min_rows"},
                  &flags->min_rows);
  rpc::AddInteger(*command, {"--max-rows", "rows of the run, 0 for no limit, as stop.max_rows"},
                  &flags->max_rows);
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  return {command, [flags] { return Limit(*flags); }};
}

}  // namespace pompc::cli
