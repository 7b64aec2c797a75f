#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "learner/update/probe.h"
#include "model/tensor_file.h"

namespace pompc::cli {
namespace {

constexpr char kModelExamples[] =
    "Examples:\n"
    "  pompc model probe --checkpoint runs/a --like batch.safetensors --out numbers.safetensors\n"
    "docs/checkpoints.md has the names and shapes of the arrays in both files.";

struct ProbeFlags {
  std::string checkpoint;
  std::string like;
  std::string out;
};

absl::Status Probe(const ProbeFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  // The updater is the learner's own class, so that what is compared is what trains.
  POMPC_ASSIGN_OR_RETURN(const auto updater, UpdaterOf(checkpoint));
  POMPC_ASSIGN_OR_RETURN(const model::TensorFile batch, model::ReadTensorFile(flags.like));
  const absl::StatusOr<model::NamedTensors> numbers = update::Probe(updater.get(), batch.tensors);
  if (!numbers.ok()) return Annotate(numbers.status(), flags.like);
  POMPC_RETURN_IF_ERROR(model::WriteTensorFile(flags.out, *numbers, {}));
  std::cout << flags.out << std::endl;
  return absl::OkStatus();
}

}  // namespace

Command AddModel(CLI::App& pompc) {
  CLI::App* command =
      pompc.add_subcommand("model", "Computes with the model of a checkpoint, for comparing it.");
  command->footer(kModelExamples);
  command->require_subcommand(1);
  auto flags = std::make_shared<ProbeFlags>();
  CLI::App* probe = command->add_subcommand(
      "probe",
      "Writes what an update computes from a batch and given draws: latents, predictions, targets, "
      "losses, gradient norms, values of action sequences.");
  probe->add_option("--checkpoint", flags->checkpoint, "a checkpoint, or a run: its best")
      ->type_name("DIR")
      ->required();
  probe->add_option("--like", flags->like, "batch, draws and scales")
      ->type_name("BATCH.safetensors")
      ->required();
  probe->add_option("--out", flags->out, "the file to write")
      ->type_name("OUT.safetensors")
      ->required();
  return {command, [flags] { return Probe(*flags); }};
}

}  // namespace pompc::cli
