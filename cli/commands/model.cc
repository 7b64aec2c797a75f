#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "learner/update/probe.h"
#include "model/planning/probe.h"
#include "model/tensor_file.h"

namespace pompc::cli {
namespace {

constexpr char kModelExamples[] =
    "Examples:\n"
    "  pompc model probe --checkpoint runs/a --like batch.safetensors --out numbers.safetensors\n"
    "  pompc model plan --checkpoint runs/a --like states.safetensors --out plans.safetensors\n"
    "docs/checkpoints.md has the names and shapes of the arrays in both files.";

struct ModelFlags {
  std::string checkpoint;
  std::string like;
  std::string out;
};

// Reads a checkpoint and arrays, and writes the arrays that `compute` makes of them.
absl::Status Compute(const ModelFlags& flags,
                     const std::function<absl::StatusOr<model::NamedTensors>(
                         update::Updater*, const model::NamedTensors&)>& compute) {
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  // The updater is the learner's own class, so that what is compared is what trains.
  POMPC_ASSIGN_OR_RETURN(const auto updater, UpdaterOf(checkpoint));
  POMPC_ASSIGN_OR_RETURN(const model::TensorFile given, model::ReadTensorFile(flags.like));
  const absl::StatusOr<model::NamedTensors> numbers = compute(updater.get(), given.tensors);
  if (!numbers.ok()) return Annotate(numbers.status(), flags.like);
  POMPC_RETURN_IF_ERROR(model::WriteTensorFile(flags.out, *numbers, {}));
  std::cout << flags.out << std::endl;
  return absl::OkStatus();
}

absl::Status Plan(const ModelFlags& flags) {
  return Compute(flags, [](update::Updater* updater, const model::NamedTensors& states) {
    return model::ProbePlans(updater->model(), updater->config(), states);
  });
}

void AddFlags(const std::string& like, const std::string& meaning, CLI::App* command,
              ModelFlags* flags) {
  command->add_option("--checkpoint", flags->checkpoint, "a checkpoint, or a run: its best")
      ->type_name("DIR")
      ->required();
  command->add_option("--like", flags->like, meaning)->type_name(like)->required();
  command->add_option("--out", flags->out, "the file to write")
      ->type_name("OUT.safetensors")
      ->required();
}

}  // namespace

Command AddModel(CLI::App& pompc) {
  CLI::App* command =
      pompc.add_subcommand("model", "Computes with the model of a checkpoint, for comparing it.");
  command->footer(kModelExamples);
  command->require_subcommand(1);
  auto flags = std::make_shared<ModelFlags>();
  CLI::App* probe = command->add_subcommand(
      "probe",
      "Writes what an update computes from a batch and given draws: latents, predictions, targets, "
      "losses, gradient norms, values of action sequences.");
  AddFlags("BATCH.safetensors", "batch, draws and scales", probe, flags.get());
  CLI::App* plan = command->add_subcommand(
      "plan",
      "Writes the plans that planners make from observations and seeds, and all random numbers in "
      "them.");
  AddFlags("STATES.safetensors", "observations, seeds and warm starts", plan, flags.get());
  return {command,
          [flags, plan] { return plan->parsed() ? Plan(*flags) : Compute(*flags, update::Probe); }};
}

}  // namespace pompc::cli
