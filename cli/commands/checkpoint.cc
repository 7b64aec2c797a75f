// pompc checkpoint: what a checkpoint holds, as tables; its numbers as a safetensors file that
// Python reads, and back (docs/checkpoints.md).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/checkpoint/checkpoint_file.h"
#include "cli/checkpoint/onnx_export.h"
#include "cli/commands/command.h"
#include "common/base/check.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "common/values/numbers.h"
#include "common/values/short_text.h"
#include "common/values/text_table.h"
#include "model/tensor_file.h"
#include "run/rows/row_counter.h"

namespace pompc::cli {
namespace {

constexpr char kCheckpointExamples[] =
    "Examples:\n"
    "  pompc checkpoint inspect runs/a\n"
    "  pompc checkpoint export runs/a --out weights.safetensors\n"
    "  pompc checkpoint export runs/a --onnx policy.onnx --with-planner\n"
    "  pompc checkpoint import weights.safetensors --like runs/a --out runs/b-start\n"
    "docs/checkpoints.md has the names and shapes of the arrays, and the ONNX files.";

double SumOfSquares(const at::Tensor& tensor) {
  return tensor.to(at::kDouble).square().sum().item<double>();
}

// "encoder" of "encoder.0.weight"; optimisers and scales are kept apart by their second word.
std::string GroupOf(const std::string& name) {
  size_t end = name.find('.');
  const std::string first = name.substr(0, end);
  if (first == "adam") end = name.find('.', first.size() + 1);
  return name.substr(0, end);
}

std::string Summary(const CheckpointFile& checkpoint) {
  const learner::CheckpointInfo& info = checkpoint.info;
  run::RowCounter rows;
  rows.Restore(info.progress.rows);
  return FormatFields({{"checkpoint", checkpoint.folder},
                       {"checksums", "hold"},
                       {"run", info.run_id},
                       {"task", checkpoint.config.env().task()},
                       {"evaluated", checkpoint.return_mean
                                         ? absl::StrFormat("return %.1f, the run's best checkpoint",
                                                           *checkpoint.return_mean)
                                         : "unknown"},
                       {"written", info.written_at.empty() ? "unknown" : info.written_at},
                       {"updates", FormatCount(info.progress.updates)},
                       {"rows", FormatCount(rows.total())},
                       {"episodes", FormatCount(info.progress.episodes)},
                       {"time", FormatSeconds(info.progress.elapsed_seconds)},
                       {"starts", absl::StrCat(info.learner_incarnation)},
                       {"seed phase", info.progress.seed_closed ? "closed" : "open"}});
}

// The settings that someone chose: a built-in task fills in env.spec itself, and only an external
// one has it from its user.
std::string Settings(proto::RunConfig config) {
  if (config.env().task() != config::kExternalTask) config.mutable_env()->clear_spec();
  TextTable rows;
  for (const config::FieldDifference& field : config::Differences(
           config::Resolve(proto::RunConfig()), config::Resolve(std::move(config)), "")) {
    rows.push_back(
        {field.path, absl::StrCat("= ", field.now), absl::StrCat("default ", field.before)});
  }
  return rows.empty() ? "  none\n" : FormatFields(rows);
}

// One line for each run of tensors of the same network, optimiser or scale.
std::string Networks(const update::UpdaterState& state) {
  TextTable rows = {{"part", "tensors", "numbers", "norm"}};
  for (size_t i = 0; i < state.tensors.size();) {
    const std::string group = GroupOf(state.tensors[i].name);
    uint64_t tensors = 0, numbers = 0;
    double squares = 0;
    for (; i < state.tensors.size() && GroupOf(state.tensors[i].name) == group; ++i) {
      ++tensors;
      numbers += static_cast<uint64_t>(state.tensors[i].tensor.numel());
      squares += SumOfSquares(state.tensors[i].tensor);
    }
    rows.push_back({group, absl::StrCat(tensors), FormatCount(numbers),
                    absl::StrFormat("%.6g", std::sqrt(squares))});
  }
  return FormatTable(rows);
}

std::string Tensors(const update::UpdaterState& state) {
  TextTable rows = {{"name", "shape", "numbers", "norm"}};
  for (const model::NamedTensor& named : state.tensors) {
    rows.push_back({named.name, absl::StrCat("(", absl::StrJoin(named.tensor.sizes(), ", "), ")"),
                    FormatCount(static_cast<uint64_t>(named.tensor.numel())),
                    absl::StrFormat("%.6g", std::sqrt(SumOfSquares(named.tensor)))});
  }
  return FormatTable(rows);
}

std::string Counters(const update::UpdaterState& state) {
  TextTable rows;
  for (const auto& [name, text] : state.metadata) rows.push_back({name, text});
  return FormatFields(rows);
}

// The updater's state as one list of arrays: its tensors, and its counters as int64 arrays without
// dimensions. safetensors' NumPy interface reads no metadata, where a checkpoint's own file has the
// counters. The seed is a uint64: above 2^63 it shows as negative.
model::NamedTensors ArraysOf(const update::UpdaterState& state) {
  model::NamedTensors arrays = state.tensors;
  for (const auto& [name, text] : state.metadata) {
    const absl::StatusOr<uint64_t> number = ParseInteger<uint64_t>(text);
    if (!number.ok()) continue;
    arrays.push_back({name, at::full({}, static_cast<int64_t>(*number), at::kLong)});
  }
  return arrays;
}

std::string CounterText(const std::string& name, int64_t number) {
  // The seed is a uint64 whose 64 bits are stored in an int64 array.
  if (name == "updater.seed") return absl::StrCat(static_cast<uint64_t>(number));
  return absl::StrCat(number);
}

std::string Description(const at::Tensor& tensor) {
  return model::DescribeTensor(tensor.scalar_type(), tensor.sizes());
}

// "2 missing: a, b"
void AddProblem(const std::vector<std::string>& names, const char* what,
                std::vector<std::string>* problems) {
  constexpr size_t kMaxNamed = 8;
  constexpr size_t kMaxName = 200;
  if (names.empty()) return;
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(names.size(), kMaxNamed); ++i) {
    shown.push_back(ShortText(names[i], kMaxName));
  }
  problems->push_back(absl::StrCat(names.size(), " ", what, ": ", absl::StrJoin(shown, ", "),
                                   shown.size() < names.size() ? ", ..." : ""));
}

// Adds one array of a file, which is as `like` has it, to the state. Returns why no state can hold
// its numbers; empty if one can.
std::string Take(const model::NamedTensor& array, const update::UpdaterState& like,
                 update::UpdaterState* state) {
  if (!like.metadata.contains(array.name)) {
    const std::string rule = update::TensorProblem(array);
    state->tensors.push_back(array);
    return rule.empty() ? "" : absl::StrCat(array.name, ", which ", rule);
  }
  const std::string text = CounterText(array.name, array.tensor.item<int64_t>());
  const std::string rule = update::CounterProblem(array.name, text);
  state->metadata[array.name] = text;
  return rule.empty() ? "" : absl::StrCat(array.name, " is ", text, ", ", rule);
}

// The arrays as a state with the names, shapes and types of `like`. All that is wrong is told at
// once: who writes such a file from another program meets each mistake many times.
// INVALID_ARGUMENT naming every array that is missing, unknown, of another shape or type, or that
// no state can hold, with the rule.
absl::StatusOr<update::UpdaterState> StateOf(const model::NamedTensors& arrays,
                                             const update::UpdaterState& like) {
  std::map<std::string, at::Tensor> given;
  for (const model::NamedTensor& named : arrays) given[named.name] = named.tensor;
  std::vector<std::string> missing, wrong, impossible, unknown;
  update::UpdaterState state{{}, like.metadata};
  for (const model::NamedTensor& wanted : ArraysOf(like)) {
    // The array is taken out of `given`, so that those left at the end are the unknown ones.
    const auto found = given.extract(wanted.name);
    if (found.empty()) {
      missing.push_back(wanted.name);
      continue;
    }
    const at::Tensor& tensor = found.mapped();
    if (tensor.sizes() != wanted.tensor.sizes() ||
        tensor.scalar_type() != wanted.tensor.scalar_type()) {
      wrong.push_back(absl::StrCat(wanted.name, " is ", Description(tensor), ", must be ",
                                   Description(wanted.tensor)));
      continue;
    }
    const std::string problem = Take({wanted.name, tensor}, like, &state);
    if (!problem.empty()) impossible.push_back(problem);
  }
  for (const auto& [name, tensor] : given) unknown.push_back(name);
  std::vector<std::string> problems;
  AddProblem(missing, "missing", &problems);
  AddProblem(unknown, "unknown", &problems);
  AddProblem(wrong, "of another shape or type", &problems);
  AddProblem(impossible, "with numbers that cannot be", &problems);
  if (problems.empty()) return state;
  return absl::InvalidArgumentError(absl::StrCat("arrays ", absl::StrJoin(problems, "; ")));
}

struct CheckpointFlags {
  std::string checkpoint;
  std::string file;
  std::string like;
  std::string out;
  OnnxOptions onnx;
};

absl::Status Inspect(const CheckpointFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  std::cout << Summary(checkpoint) << "\nsettings that are not the defaults\n"
            << Settings(checkpoint.config) << "\nnetworks, optimisers, scales\n"
            << Networks(checkpoint.state) << "\ntensors\n"
            << Tensors(checkpoint.state) << "\ncounters\n"
            << Counters(checkpoint.state) << std::flush;
  return absl::OkStatus();
}

absl::Status Export(const CheckpointFlags& flags, bool numbers, bool onnx) {
  if (!numbers && !onnx) {
    return absl::InvalidArgumentError("what to write? --out FILE.safetensors, --onnx POLICY.onnx");
  }
  if (onnx) POMPC_RETURN_IF_ERROR(CheckOnnxPath(flags.onnx.path));
  POMPC_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(flags.checkpoint));
  if (numbers) {
    POMPC_RETURN_IF_ERROR(model::WriteTensorFile(flags.out, ArraysOf(checkpoint.state), {}));
    std::cout << flags.out << std::endl;
  }
  if (!onnx) return absl::OkStatus();
  POMPC_ASSIGN_OR_RETURN(const OnnxExport made, ExportOnnx(checkpoint, flags.onnx));
  for (const std::string& file : made.files) std::cout << file << "\n";
  std::cout << made.comparison << std::endl;
  return absl::OkStatus();
}

absl::Status Import(const CheckpointFlags& flags) {
  POMPC_ASSIGN_OR_RETURN(CheckpointFile checkpoint, OpenCheckpoint(flags.like));
  POMPC_ASSIGN_OR_RETURN(const model::TensorFile file, model::ReadTensorFile(flags.file));
  absl::StatusOr<update::UpdaterState> state = StateOf(file.tensors, checkpoint.state);
  if (!state.ok()) return Annotate(state.status(), flags.file);
  checkpoint.state = *std::move(state);
  // A learner that resumes makes the same check; a mistake should show now.
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
      "export",
      "Writes all numbers of a checkpoint to a safetensors file, or its networks to ONNX files.");
  exporter->add_option("checkpoint", flags->checkpoint, "a checkpoint, or a run: its best")
      ->type_name("DIR")
      ->required();
  exporter->add_option("--out", flags->out, "the file for all numbers")
      ->type_name("FILE.safetensors");
  CLI::Option* onnx =
      exporter->add_option("--onnx", flags->onnx.path, "the ONNX file for the policy (opset 17)")
          ->type_name("POLICY.onnx");
  exporter
      ->add_flag("--with-planner", flags->onnx.with_planner,
                 "also POLICY.encoder.onnx, .latent_policy, .dynamics, .reward, .values and, if "
                 "the task terminates, .termination")
      ->needs(onnx);
  exporter
      ->add_option("--python", flags->onnx.python,
                   "the Python that compares the ONNX files with pompc's own numbers before they "
                   "are written, if it has onnxruntime; empty: none")
      ->capture_default_str()
      ->type_name("PROGRAM")
      ->needs(onnx);
  return exporter;
}

CLI::App* AddImport(CLI::App& command, CheckpointFlags* flags) {
  CLI::App* importer = command.add_subcommand(
      "import",
      "Makes a checkpoint from the numbers in a safetensors file and the rest of another "
      "checkpoint.");
  importer->add_option("file", flags->file, "the file to read")
      ->type_name("FILE.safetensors")
      ->required();
  importer
      ->add_option("--like", flags->like,
                   "a checkpoint, or a run: config, run and rows are taken from it")
      ->type_name("DIR")
      ->required();
  importer->add_option("--out", flags->out, "the checkpoint to make; it must not exist")
      ->type_name("DIR")
      ->required();
  return importer;
}

}  // namespace

Command AddCheckpoint(CLI::App& pompc) {
  CLI::App* command = pompc.add_subcommand(
      "checkpoint", "Looks into checkpoints, and carries their numbers to Python and back.");
  command->footer(kCheckpointExamples);
  command->require_subcommand(1);
  auto flags = std::make_shared<CheckpointFlags>();
  const CLI::App* inspect = AddInspect(*command, flags.get());
  const CLI::App* exporter = AddExport(*command, flags.get());
  AddImport(*command, flags.get());
  return {command, [flags, inspect, exporter] {
            if (inspect->parsed()) return Inspect(*flags);
            if (exporter->parsed()) {
              return Export(*flags, exporter->count("--out") > 0, exporter->count("--onnx") > 0);
            }
            return Import(*flags);
          }};
}

}  // namespace pompc::cli
