#include "cli/checkpoint/onnx_export.h"

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "cli/checkpoint/onnx_check_program.h"
#include "cli/checkpoint/onnx_graph.h"
#include "common/base/check.h"
#include "common/io/child_process.h"
#include "common/io/files.h"
#include "model/random.h"
#include "model/tensor_file.h"
#include "nlohmann/json.hpp"

namespace pompc::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kEnding[] = ".onnx";
// The check: rows that are compared, their seed, the difference that is allowed, and how long
// Python may take for it.
constexpr int64_t kRows = 1000;
constexpr uint64_t kSeed = 17;
constexpr char kTolerance[] = "1e-5";
constexpr absl::Duration kPatience = absl::Minutes(5);

// One file: its graph, and what pompc itself computes with it from inputs for the check. Outputs of
// a graph have the names and the order of `outputs`.
struct Piece {
  // The file's name behind the policy's: "" or ".encoder".
  std::string suffix;
  proto::OnnxModel model;
  model::NamedTensors inputs, outputs;
  // The outputs in float64: what float32 has rounded is their distance from `outputs`.
  model::NamedTensors exact;
};

// What makes the pieces: the model, and rows of inputs for the check.
struct Source {
  explicit Source(const model::WorldModel& world_model) : model(world_model) {
    const auto normal = [](uint32_t stream, int64_t width) {
      return model::Normal({kSeed}, {stream, 0}, {kRows, width}, at::kCPU)[0];
    };
    observations = 2 * normal(1, spec().observation_size());
    noise = normal(2, spec().action_size());
    actions = at::tanh(normal(3, spec().action_size()));
    latents = model.Encode(observations);
  }

  // The same inputs for the same model in another dtype.
  Source(const model::WorldModel& other, const Source& source)
      : model(other),
        observations(source.observations.to(other.dtype())),
        noise(source.noise.to(other.dtype())),
        actions(source.actions.to(other.dtype())),
        latents(source.latents.to(other.dtype())) {}

  const proto::EnvSpec& spec() const { return model.config().env().spec(); }
  const proto::ModelConfig& settings() const { return model.config().model(); }
  bool squashed() const { return settings().policy_form() == proto::ModelConfig::TANH_GAUSSIAN; }

  const model::WorldModel& model;
  at::Tensor observations, noise, actions, latents;
};

// Adds mean and standard deviation of the policy at a latent, and returns their names
// (model::PolicyFromRaw).
std::vector<std::string> AddGaussian(const Source& source, const std::string& latent,
                                     OnnxGraph* graph) {
  const int64_t actions = source.spec().action_size();
  const std::vector<std::string> raw =
      graph->Halves(graph->Forward(source.model.policy(), latent), actions);
  const double low = source.settings().log_std_min();
  const double half = 0.5 * (source.settings().log_std_max() - low);
  const std::string scaled =
      graph->Apply("Mul", {graph->Apply("Tanh", {raw[1]}), graph->Number(half)});
  const std::string std =
      graph->Apply("Exp", {graph->Apply("Add", {scaled, graph->Number(low + half)})});
  return {source.squashed() ? raw[0] : graph->Apply("Tanh", {raw[0]}), std};
}

// The action of a draw (model::SampleActions).
std::string AddAction(const Source& source, const std::string& drawn, OnnxGraph* graph) {
  if (source.squashed()) return graph->Apply("Tanh", {drawn});
  return graph->Apply("Clip", {drawn, graph->Number(-1), graph->Number(1)});
}

void AddGaussianOutputs(const Source& source, const std::vector<std::string>& gaussian,
                        OnnxGraph* graph) {
  const int64_t actions = source.spec().action_size();
  graph->Output("mean", gaussian[0], {-1, actions},
                source.squashed() ? "mean of the Gaussian whose draws tanh makes actions"
                                  : "mean of the Gaussian whose draws are clipped to [-1, 1]");
  graph->Output("std", gaussian[1], {-1, actions}, "its standard deviations");
}

Piece MakePolicy(const Source& source) {
  OnnxGraph graph("policy");
  const std::string observation =
      graph.Input("observation", source.spec().observation_size(), "observations");
  const std::vector<std::string> gaussian =
      AddGaussian(source, graph.Forward(source.model.encoder(), observation), &graph);
  graph.Output("action", AddAction(source, gaussian[0], &graph), {-1, source.spec().action_size()},
               "the action without exploration, in [-1, 1]");
  AddGaussianOutputs(source, gaussian, &graph);
  const model::Gaussian ours = source.model.Policy(source.model.Encode(source.observations));
  const at::Tensor action =
      model::SampleActions(ours, at::zeros_like(ours.mean), source.settings().policy_form());
  return {"",
          graph.Finish("Encoder and policy: acts at observations."),
          {{"observation", source.observations}},
          {{"action", action}, {"mean", ours.mean}, {"std", ours.log_std.exp()}}};
}

Piece MakeLatentPolicy(const Source& source) {
  OnnxGraph graph("latent_policy");
  const int64_t actions = source.spec().action_size();
  const std::string latent = graph.Input("latent", source.settings().latent_dim(), "latent states");
  const std::string noise = graph.Input("noise", actions, "standard normal numbers");
  const std::vector<std::string> gaussian = AddGaussian(source, latent, &graph);
  const std::string drawn =
      graph.Apply("Add", {gaussian[0], graph.Apply("Mul", {gaussian[1], noise})});
  graph.Output("action", AddAction(source, drawn, &graph), {-1, actions},
               "the action for the noise, in [-1, 1]");
  AddGaussianOutputs(source, gaussian, &graph);
  const model::Gaussian ours = source.model.Policy(source.latents);
  return {".latent_policy",
          graph.Finish("Policy: acts at latent states."),
          {{"latent", source.latents}, {"noise", source.noise}},
          {{"action", model::SampleActions(ours, source.noise, source.settings().policy_form())},
           {"mean", ours.mean},
           {"std", ours.log_std.exp()}}};
}

Piece MakeEncoder(const Source& source) {
  OnnxGraph graph("encoder");
  const std::string observation =
      graph.Input("observation", source.spec().observation_size(), "observations");
  graph.Output("latent", graph.Forward(source.model.encoder(), observation),
               {-1, source.settings().latent_dim()}, "latent states");
  return {".encoder",
          graph.Finish("Encoder: latent states of observations."),
          {{"observation", source.observations}},
          {{"latent", source.model.Encode(source.observations)}}};
}

// The joined input of what sees latents and actions.
std::string AddStep(const Source& source, OnnxGraph* graph) {
  const std::string latent =
      graph->Input("latent", source.settings().latent_dim(), "latent states");
  const std::string action =
      graph->Input("action", source.spec().action_size(), "actions in [-1, 1]");
  return graph->Join(latent, action);
}

Piece MakeDynamics(const Source& source) {
  OnnxGraph graph("dynamics");
  graph.Output("next_latent", graph.Forward(source.model.dynamics(), AddStep(source, &graph)),
               {-1, source.settings().latent_dim()}, "latent states one decision later");
  return {".dynamics",
          graph.Finish("Dynamics: the next latent state."),
          {{"latent", source.latents}, {"action", source.actions}},
          {{"next_latent", source.model.Next(source.latents, source.actions)}}};
}

Piece MakeReward(const Source& source) {
  OnnxGraph graph("reward");
  const model::Bins bins = model::BinsOf(source.settings());
  const std::string logits = graph.Forward(source.model.reward(), AddStep(source, &graph));
  graph.Output("reward", graph.Decode(logits, bins), {-1}, "rewards of the decisions");
  const at::Tensor ours =
      source.model.reward().Forward(at::cat({source.latents, source.actions}, -1));
  return {".reward",
          graph.Finish("Reward: of one decision."),
          {{"latent", source.latents}, {"action", source.actions}},
          {{"reward", model::TwoHotDecode(ours, bins)}}};
}

Piece MakeTermination(const Source& source) {
  OnnxGraph graph("termination");
  const std::string latent = graph.Input("latent", source.settings().latent_dim(), "latent states");
  const std::string logit = graph.Forward(source.model.termination(), latent);
  graph.Output("probability",
               graph.Apply("Sigmoid", {graph.Apply("Squeeze", {logit, graph.Integers({-1})})}),
               {-1}, "how probable it is that the states are terminal");
  return {".termination",
          graph.Finish("Termination: of latent states."),
          {{"latent", source.latents}},
          {{"probability", source.model.TerminationLogits(source.latents).sigmoid()}}};
}

Piece MakeValues(const Source& source) {
  OnnxGraph graph("values");
  const model::Bins bins = model::BinsOf(source.settings());
  const bool states = source.model.HasStateValues();
  const std::string input =
      states ? graph.Input("latent", source.settings().latent_dim(), "latent states")
             : AddStep(source, &graph);
  graph.Output("values", graph.Decode(graph.Forward(source.model.q(), input), bins),
               {source.settings().num_q(), -1}, "values by each member of the ensemble");
  const at::Tensor logits =
      source.model.q().Forward(source.model.ValueInput(source.latents, source.actions));
  model::NamedTensors inputs = {{"latent", source.latents}};
  if (!states) inputs.push_back({"action", source.actions});
  return {".values",
          graph.Finish("Values: discounted returns from here, by each member of the ensemble."),
          std::move(inputs),
          {{"values", model::TwoHotDecode(logits, bins)}}};
}

std::vector<Piece> PiecesOf(const Source& source, bool with_planner) {
  std::vector<Piece> pieces;
  pieces.push_back(MakePolicy(source));
  if (!with_planner) return pieces;
  for (const auto make : {MakeEncoder, MakeLatentPolicy, MakeDynamics, MakeReward, MakeValues}) {
    pieces.push_back(make(source));
  }
  if (source.spec().terminates()) pieces.push_back(MakeTermination(source));
  return pieces;
}

std::vector<Piece> MakePieces(const model::WorldModel& model, bool with_planner) {
  at::NoGradGuard no_grad;
  const auto exact = model::WorldModel::Create(model.config(), at::kCPU, kSeed, at::kDouble);
  exact.flat().copy_(model.flat());
  const Source source(model);
  std::vector<Piece> pieces = PiecesOf(source, with_planner);
  std::vector<Piece> exact_pieces = PiecesOf(Source(exact, source), with_planner);
  for (size_t i = 0; i < pieces.size(); ++i) {
    pieces[i].exact = std::move(exact_pieces[i].outputs);
  }
  return pieces;
}

// What a program that plans or acts with the files has to know.
void AddFacts(const CheckpointFile& checkpoint, const proto::RunConfig& config,
              proto::OnnxModel* model) {
  const auto add = [model](const std::string& key, const std::string& value) {
    proto::OnnxText* text = model->add_metadata_props();
    text->set_key(key);
    text->set_value(value);
  };
  add("pompc.run", checkpoint.info.run_id);
  add("pompc.task", config.env().task());
  add("pompc.updates", absl::StrCat(checkpoint.info.progress.updates));
  add("pompc.policy_form", proto::ModelConfig::PolicyForm_Name(config.model().policy_form()));
  // This is the shortest text that gives the same number again.
  add("pompc.discount", nlohmann::json(config.learner().discount()).dump());
  add("pompc.horizon", absl::StrCat(config.planner().horizon()));
}

std::string NameOf(const std::string& path, const Piece& piece) {
  return absl::StrCat(absl::StripSuffix(path, kEnding), piece.suffix, kEnding);
}

// Runs cli/checkpoint/onnx_check.py on the pieces, which are in the folder under their final names,
// and returns its sentence.
absl::StatusOr<std::string> Compare(const std::string& folder, const std::string& python,
                                    const std::vector<std::string>& files,
                                    const std::vector<Piece>& pieces) {
  if (python.empty()) return "not compared with onnxruntime, as no Python was named";
  model::NamedTensors numbers;
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (const auto& [kind, tensors] : {std::pair{"input", &pieces[i].inputs},
                                        {"output", &pieces[i].outputs},
                                        {"exact", &pieces[i].exact}}) {
      for (const model::NamedTensor& named : *tensors) {
        numbers.push_back({absl::StrCat(i, "/", kind, "/", named.name), named.tensor.contiguous()});
      }
    }
  }
  const std::string data = folder + "/numbers.safetensors", report = folder + "/report";
  POMPC_RETURN_IF_ERROR(model::WriteTensorFile(data, numbers, {}));
  std::vector<std::string> command = {python, "-", kTolerance, data, report};
  command.insert(command.end(), files.begin(), files.end());
  auto child = ChildProcess::Start(command, kPatience);
  if (absl::IsNotFound(child.status())) {
    return absl::StrCat("not compared with onnxruntime: ", child.status().message());
  }
  POMPC_RETURN_IF_ERROR(child.status());
  const absl::string_view program = kOnnxCheckProgram;
  absl::Status status =
      (*child)->Write({reinterpret_cast<const uint8_t*>(program.data()), program.size()});
  if (status.ok()) status = (*child)->Finish();
  if (!status.ok()) {
    return absl::DataLossError(
        absl::StrCat(status.message(), " (--python '' writes the files without comparing them)"));
  }
  return ReadFile(report);
}

absl::Status Write(const std::string& file, const Piece& piece) {
  std::string content;
  if (piece.model.ByteSizeLong() > std::numeric_limits<int32_t>::max() ||
      !piece.model.SerializeToString(&content)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(file, " would have more than the 2 GiB that an ONNX file can have"));
  }
  return WriteFileAtomically(file, content);
}

// Everything happens in a folder beside the files' place first, so that what does not hold is never
// seen there.
absl::StatusOr<OnnxExport> Make(const std::string& folder, std::vector<Piece> pieces,
                                const OnnxOptions& options) {
  OnnxExport made;
  POMPC_RETURN_IF_ERROR(MakeFolders(folder));
  std::vector<std::string> unfinished;
  for (const Piece& piece : pieces) {
    made.files.push_back(NameOf(options.path, piece));
    unfinished.push_back(folder + "/" + fs::path(made.files.back()).filename().string());
    POMPC_RETURN_IF_ERROR(Write(unfinished.back(), piece));
  }
  POMPC_ASSIGN_OR_RETURN(made.comparison, Compare(folder, options.python, unfinished, pieces));
  for (size_t i = 0; i < unfinished.size(); ++i) {
    POMPC_RETURN_IF_ERROR(Rename(unfinished[i], made.files[i]));
  }
  return made;
}

}  // namespace

absl::Status CheckOnnxPath(const std::string& path) {
  if (absl::EndsWith(path, kEnding) && fs::path(path).filename() != kEnding)
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--onnx ", path, ": its name must end in ", kEnding));
}

absl::StatusOr<OnnxExport> ExportOnnx(const CheckpointFile& checkpoint,
                                      const OnnxOptions& options) {
  POMPC_CHECK_OK(CheckOnnxPath(options.path));
  POMPC_ASSIGN_OR_RETURN(const auto updater, UpdaterOf(checkpoint));
  std::vector<Piece> pieces = MakePieces(updater->model(), options.with_planner);
  for (Piece& piece : pieces) AddFacts(checkpoint, updater->config(), &piece.model);
  // The process's id keeps two commands that write the same files apart.
  const std::string folder = absl::StrCat(options.path, ".writing-", ::getpid());
  absl::StatusOr<OnnxExport> made = Make(folder, std::move(pieces), options);
  RemoveAll(folder).IgnoreError();
  return made;
}

}  // namespace pompc::cli
