#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/checkpoint/checkpoint_arrays.h"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/checkpoint/checkpoint_report.h"
#include "cli/commands/command.h"
#include "common/base/status_macros.h"
#include "common/io/files.h"
#include "model/npz.h"

namespace pompc::cli {
namespace {

constexpr char kCheckpointExamples[] =
    "Examples:\n"
    "  pompc checkpoint inspect runs/a\n"
    "  pompc checkpoint export runs/a --out weights.npz\n"
    "  pompc checkpoint import weights.npz --like runs/a --out runs/b-start\n"
    "docs/checkpoints.md has the names and shapes of the arrays.";

struct CheckpointFlags {
  std::string checkpoint;
  std::string npz;
  std::string like;
  std::string out;
};

absl::Status Inspect(const CheckpointFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  std::cout << CheckpointReport(checkpoint) << std::flush;
  return absl::OkStatus();
}

absl::Status Export(const CheckpointFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  POMPC_ASSIGN_OR_RETURN(const std::string file, model::PackNpz(ArraysOf(checkpoint.state)));
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(flags.out, file));
  std::cout << flags.out << std::endl;
  return absl::OkStatus();
}

absl::Status Import(const CheckpointFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(CheckpointFile checkpoint, OpenCheckpoint(flags.like));
  POMPC_ASSIGN_OR_RETURN(const std::string file, ReadFile(flags.npz));
  absl::StatusOr<model::NamedTensors> arrays = model::UnpackNpz(file);
  if (!arrays.ok()) return Annotate(arrays.status(), flags.npz);
  POMPC_RETURN_IF_ERROR(Annotate(SetArrays(*arrays, &checkpoint.state), flags.npz));
  // The learner asks this of a checkpoint as well: better to hear it now.
  POMPC_ASSIGN_OR_RETURN(const auto updater, UpdaterOf(checkpoint));
  checkpoint.info.progress.updates = static_cast<uint64_t>(updater->update_count());
  POMPC_RETURN_IF_ERROR(SaveCheckpoint(flags.out, checkpoint));
  std::cout << flags.out << std::endl;
  return absl::OkStatus();
}

CLI::App* AddInspect(CLI::App& command, CheckpointFlags* flags) {
  CLI::App* inspect = command.add_subcommand(
      "inspect", "Shows what a checkpoint holds, and whether its checksums hold.");
  inspect->add_option("checkpoint", flags->checkpoint, "a checkpoint, or a run: its best")
      ->type_name("DIR")
      ->required();
  return inspect;
}

CLI::App* AddExport(CLI::App& command, CheckpointFlags* flags) {
  CLI::App* exporter = command.add_subcommand(
      "export", "Writes all numbers of a checkpoint to a .npz file, which NumPy opens.");
  exporter->add_option("checkpoint", flags->checkpoint, "a checkpoint, or a run: its best")
      ->type_name("DIR")
      ->required();
  exporter->add_option("--out", flags->out, "the file to write")->type_name("FILE.npz")->required();
  return exporter;
}

CLI::App* AddImport(CLI::App& command, CheckpointFlags* flags) {
  CLI::App* importer = command.add_subcommand(
      "import", "Makes a checkpoint of the numbers in a .npz file and the rest of another one.");
  importer->add_option("npz", flags->npz, "the file to read")->type_name("FILE.npz")->required();
  importer
      ->add_option("--like", flags->like,
                   "a checkpoint, or a run: config, run and rows are taken from it")
      ->type_name("DIR")
      ->required();
  importer->add_option("--out", flags->out, "the checkpoint to make; nothing may be there")
      ->type_name("DIR")
      ->required();
  return importer;
}

}  // namespace

Command AddCheckpoint(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "checkpoint", "Looks into checkpoints, and carries their numbers to NumPy and back.");
  command->footer(kCheckpointExamples);
  command->require_subcommand(1);
  auto flags = std::make_shared<CheckpointFlags>();
  const CLI::App* inspect = AddInspect(*command, flags.get());
  const CLI::App* exporter = AddExport(*command, flags.get());
  AddImport(*command, flags.get());
  return {command, [flags, inspect, exporter] {
            if (inspect->parsed()) return Inspect(*flags);
            if (exporter->parsed()) return Export(*flags);
            return Import(*flags);
          }};
}

}  // namespace pompc::cli
