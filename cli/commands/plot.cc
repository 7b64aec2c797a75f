#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "cli/commands/command.h"
#include "cli/report/learning_curve.h"
#include "cli/report/reference_plot.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

struct PlotFlags {
  std::string run_dir, out;
  std::string methods;
  std::optional<uint64_t> frames;
};

absl::Status Plot(const PlotFlags& flags, bool with_references) {
  if (!with_references) {
    const std::string path = flags.out.empty() ? LearningCurveFile(flags.run_dir) : flags.out;
    POMPC_RETURN_IF_ERROR(WriteLearningCurve(flags.run_dir, path));
    std::cout << path << std::endl;
    return absl::OkStatus();
  }
  const std::string path = flags.out.empty() ? ReferencesFile(flags.run_dir) : flags.out;
  const std::vector<std::string> methods = absl::StrSplit(flags.methods, ',', absl::SkipEmpty());
  POMPC_ASSIGN_OR_RETURN(const ReferencePlot plot,
                         ReferencePlotOf(flags.run_dir, methods, flags.frames));
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(path, plot.svg));
  std::cout << path << "\n" << plot.table << std::flush;
  return absl::OkStatus();
}

}  // namespace

Command AddPlot(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "plot", "Draws the learning curve of a run: returns over rows, as an SVG picture.");
  command->footer(
      "Examples:\n"
      "  pompc plot --run-dir runs/a --out curve.svg\n"
      "  pompc plot --run-dir runs/a --reference                 beside all published curves\n"
      "  pompc plot --run-dir runs/a --reference TD-MPC2,BMPC    beside these");
  auto flags = std::make_shared<PlotFlags>();
  command->add_option("--run-dir", flags->run_dir, "the run's folder")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--out", flags->out,
                   "the picture; default learning_curve.svg in the folder, or references.svg with "
                   "--reference")
      ->type_name("FILE");
  CLI::Option* reference =
      command
          ->add_option(
              "--reference", flags->methods,
              "draws published curves of the run's task as well, over environment frames, "
              "and prints the returns at the run's last frame; of all methods, or of these")
          ->type_name("METHOD,METHOD,...")
          ->expected(0, 1);
  rpc::AddInteger(*command,
                  {"--frames", "where a picture with --reference ends; default: with the run", 1,
                   1'000'000'000'000},
                  &flags->frames)
      ->needs(reference);
  return {command, [flags, reference] { return Plot(*flags, reference->count() > 0); }};
}

}  // namespace pompc::cli
