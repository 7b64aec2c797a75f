#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/commands/command.h"
#include "cli/report/csv.h"
#include "cli/report/run_directory.h"
#include "cli/report/run_report.h"
#include "common/base/check.h"
#include "common/rpc/endpoint.h"
#include "common/values/text_table.h"
#include "run/control/status_report.h"
#include "run/run_client.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

absl::Status PrintRunningRun(const std::string& learner, const std::string& certificates) {
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(certificates, proto::Access::LEARNER));
  POMPC_ASSIGN_OR_RETURN(const auto endpoints, rpc::ParseEndpoints("--learner", learner, trust));
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run,
                         run::GetRun(endpoints.front(), absl::Seconds(5)));
  std::cout << RunReport(run);
  return absl::OkStatus();
}

// The progress that the run is known to have made: the newest of what its end, its last logged
// update and its last evaluation say. Not every update is logged, so an evaluation may be newer.
std::string ProgressText(const std::optional<rundir::RunEnd>& end, const CsvTable& metrics,
                         const CsvTable& timings, const CsvTable& evaluations) {
  // The numbers stay as the files have them: a cell may hold anything, and FormatNumber shows what
  // is no count as "?".
  struct {
    double rows = 0, updates = 0, seconds = 0;
  } newest;
  if (end.has_value()) {
    newest = {static_cast<double>(end->rows), static_cast<double>(end->updates),
              end->elapsed_seconds};
  }
  const auto consider = [&](const CsvTable& table, const char* updates, const CsvTable& times) {
    const size_t n = table.column("rows").size();
    if (n == 0 || !(table.cell("rows", n - 1) > newest.rows)) return;
    newest = {table.cell("rows", n - 1), table.cell(updates, n - 1),
              times.cell("elapsed_seconds", n - 1)};
  };
  consider(metrics, "update", timings);
  consider(evaluations, "updates", evaluations);
  if (newest.rows == 0) return "no update yet";
  return absl::StrCat(FormatNumber(newest.rows), " rows, ", FormatNumber(newest.updates),
                      " updates, after ", FormatSeconds(newest.seconds));
}

std::string StateText(const absl::StatusOr<rundir::NewestStart>& start) {
  if (!start.ok()) return absl::StrCat("unknown: ", start.status().message());
  if (start->number == 0) return "unknown: there is no run.json";
  if (start->end.has_value()) return start->end->outcome;
  return absl::StrCat("start ", start->number,
                      " has not told of its end: its learner runs, or was killed");
}

// What the files say, whether or not the run is still running.
absl::Status PrintRunDirectory(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, ReadRunConfig(run_dir));
  POMPC_ASSIGN_OR_RETURN(const CsvTable metrics, ReadCsvIfThere(MetricsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable timings, ReadCsvIfThere(TimingsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable evaluations, ReadCsvIfThere(EvaluationsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const proto::KeptLimits limits, rundir::ReadKeptLimits(run_dir));
  const absl::StatusOr<rundir::NewestStart> start = rundir::ReadNewestStart(run_dir);
  const std::optional<rundir::RunEnd> end = start.ok() ? start->end : std::nullopt;
  TextTable fields = {{"folder", run_dir},
                      {"task", config.env().task()},
                      {"seed", absl::StrCat(config.seed())},
                      {"state", StateText(start)},
                      {"progress", ProgressText(end, metrics, timings, evaluations)}};
  for (const proto::LimitChange& change : limits.changes()) {
    fields.push_back({"limit changed", run::ChangeText(change)});
  }
  std::cout << FormatFields(fields);
  TextTable rows = {{"rows", "updates", "return", "time"}};
  for (size_t i = 0; i < evaluations.column("return_mean").size(); ++i) {
    rows.push_back(
        {FormatNumber(evaluations.cell("rows", i)), FormatNumber(evaluations.cell("updates", i)),
         FormatMean(evaluations.cell("return_mean", i), evaluations.cell("return_ci95", i)),
         FormatSeconds(evaluations.cell("elapsed_seconds", i))});
  }
  std::cout << "\nevaluations\n" << (rows.size() > 1 ? FormatTable(rows) : "  none yet\n");
  return absl::OkStatus();
}

}  // namespace

Command AddStatus(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand("status", "Shows how far a run is.");
  command->footer(
      "Examples:\n"
      "  pompc status --learner 127.0.0.1:7000    asks the run's learner for everything\n"
      "  pompc status --run-dir runs/a            reads the run's files: progress, evaluations");
  struct Flags {
    std::string learner, run_dir, certificates;
  };
  auto flags = std::make_shared<Flags>();
  CLI::Option* learner = command->add_option("--learner", flags->learner, "the learner's address");
  learner->type_name("HOST:PORT")->envname("POMPC_LEARNER");
  command->add_option("--run-dir", flags->run_dir, "the run's folder; goes before --learner")
      ->type_name("DIR");
  rpc::AddCertificatesFlag(*command, &flags->certificates);
  return {command, [flags] {
            if (!flags->run_dir.empty()) return PrintRunDirectory(flags->run_dir);
            if (!flags->learner.empty())
              return PrintRunningRun(flags->learner, flags->certificates);
            return absl::InvalidArgumentError("give --learner HOST:PORT or --run-dir DIR");
          }};
}

}  // namespace pompc::cli
