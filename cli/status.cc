#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/csv.h"
#include "cli/format.h"
#include "cli/run_directory.h"
#include "cli/run_report.h"
#include "common/rpc/endpoint.h"
#include "common/status_macros.h"
#include "learner/client/run_client.h"

namespace pompc::cli {
namespace {

absl::Status PrintRunningRun(const std::string& learner) {
  POMPC_ASSIGN_OR_RETURN(const auto endpoints, rpc::ParseEndpoints("--learner", learner));
  POMPC_ASSIGN_OR_RETURN(const proto::GetRunReply run,
                         learner::GetRun(endpoints.front(), absl::Seconds(5)));
  std::cout << RunReport(run);
  return absl::OkStatus();
}

// What the files say, whether or not the run is still running.
absl::Status PrintRunDirectory(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, ReadRunConfig(run_dir));
  absl::StatusOr<CsvTable> evaluations = ReadCsv(EvaluationsFile(run_dir));
  if (absl::IsNotFound(evaluations.status())) evaluations = CsvTable();
  POMPC_RETURN_IF_ERROR(evaluations.status());
  std::cout << FormatTable(
      {{"folder", run_dir}, {"task", config.env().task()}, {"seed", absl::StrCat(config.seed())}});
  std::vector<std::vector<std::string>> rows = {{"rows", "updates", "return", "time"}};
  for (size_t i = 0; i < evaluations->column("return_mean").size(); ++i) {
    rows.push_back(
        {FormatNumber(evaluations->cell("rows", i)), FormatNumber(evaluations->cell("updates", i)),
         FormatMean(evaluations->cell("return_mean", i), evaluations->cell("return_ci95", i)),
         FormatSeconds(evaluations->cell("elapsed_seconds", i))});
  }
  std::cout << "\nevaluations\n" << (rows.size() > 1 ? FormatTable(rows) : "  none yet\n");
  return absl::OkStatus();
}

}  // namespace

Command AddStatus(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand("status", "Shows how far a run is.");
  command->footer(
      "Examples:\n"
      "  pompc status --learner 127.0.0.1:50051   asks the run's learner: all there is to know\n"
      "  pompc status --run-dir runs/a            reads the run's files: its evaluations");
  struct Flags {
    std::string learner, run_dir;
  };
  auto flags = std::make_shared<Flags>();
  CLI::Option* learner = command->add_option("--learner", flags->learner, "the learner's address");
  learner->type_name("HOST:PORT");
  command->add_option("--run-dir", flags->run_dir, "the run's folder")
      ->type_name("DIR")
      ->excludes(learner);
  return {command, [flags] {
            if (!flags->learner.empty()) return PrintRunningRun(flags->learner);
            if (!flags->run_dir.empty()) return PrintRunDirectory(flags->run_dir);
            return absl::InvalidArgumentError("give --learner HOST:PORT or --run-dir DIR");
          }};
}

}  // namespace pompc::cli
