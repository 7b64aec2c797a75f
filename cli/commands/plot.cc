#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands/command.h"
#include "cli/report/learning_curve.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"

namespace pompc::cli {

Command AddPlot(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "plot", "Draws the learning curve of a run: returns over rows, as an SVG picture.");
  command->footer(
      "Example:\n"
      "  pompc plot --run-dir runs/a --out curve.svg");
  struct Flags {
    std::string run_dir, out;
  };
  auto flags = std::make_shared<Flags>();
  command->add_option("--run-dir", flags->run_dir, "the run's folder")
      ->type_name("DIR")
      ->required();
  command->add_option("--out", flags->out, "the picture; default learning_curve.svg in the folder")
      ->type_name("FILE");
  return {command, [flags]() -> absl::Status {
            const std::string path =
                flags->out.empty() ? LearningCurveFile(flags->run_dir) : flags->out;
            POMPC_RETURN_IF_ERROR(WriteLearningCurve(flags->run_dir, path));
            std::cout << path << std::endl;
            return absl::OkStatus();
          }};
}

}  // namespace pompc::cli
