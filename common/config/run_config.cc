#include "common/config/run_config.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/config/text_parser.h"
#include "common/io/files.h"
#include "common/process/data_folder.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"

namespace pompc::config {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

// A config is a few kilobytes: a larger file is the wrong one.
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr char kExtension[] = ".textproto";

// Clears the lists in `config` that `layer` gives. A later list replaces an earlier one, as all
// later values do, whereas protobuf would append it.
void ClearListsOf(const Message& layer, Message* config) {
  const Reflection& reflection = *layer.GetReflection();
  std::vector<const FieldDescriptor*> given;
  reflection.ListFields(layer, &given);
  for (const FieldDescriptor* field : given) {
    if (field->is_repeated()) {
      reflection.ClearField(config, field);
    } else if (field->message_type() != nullptr) {
      ClearListsOf(reflection.GetMessage(layer, field), reflection.MutableMessage(config, field));
    }
  }
}

absl::Status MergeFile(const std::string& path, proto::RunConfig* config) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return Annotate(text.status(), "config file");
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig layer, ParseRunConfig(*text, path));
  ClearListsOf(layer, config);
  config->MergeFrom(layer);
  return absl::OkStatus();
}

// Prints the value that a field has without being set, which is its default, and reads it back:
// text format is exact for numbers, and knows all types.
void SetDefault(const FieldDescriptor& field, Message* message) {
  std::string text;
  TextFormat::PrintFieldValueToString(*message, &field, -1, &text);
  POMPC_CHECK(TextFormat::ParseFieldValueFromString(text, &field, message), field.full_name());
}

// Returns true for groups whose presence has a meaning: env.spec that is given must agree with the
// task.
bool StaysAbsent(const FieldDescriptor& field) {
  return field.message_type() == proto::EnvSpec::descriptor();
}

void FillDefaults(Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) {
      for (int j = 0; j < reflection.FieldSize(*message, &field); ++j) {
        FillDefaults(reflection.MutableRepeatedMessage(message, &field, j));
      }
      continue;
    }
    const bool present = reflection.HasField(*message, &field);
    if (field.message_type() != nullptr) {
      if (present || !StaysAbsent(field)) {
        FillDefaults(reflection.MutableMessage(message, &field));
      }
    } else if (!present && field.has_default_value()) {
      SetDefault(field, message);
    }
  }
}

struct NamedSize {
  const char* name;
  uint32_t encoder_dim, mlp_dim, latent_dim, encoder_layers, num_q;
};

// The sizes tiny and small suit two CPU cores; the others are TD-MPC2's (its model_size 1, 5, 19,
// 48 and 317).
constexpr std::array<NamedSize, 7> kSizes = {{
    {"tiny", 128, 128, 64, 2, 2},
    {"small", 256, 256, 128, 2, 2},
    {"1M", 256, 384, 128, 2, 2},
    {"5M", 256, 512, 512, 2, 5},
    {"19M", 1024, 1024, 768, 3, 5},
    {"48M", 1792, 1792, 768, 4, 5},
    {"317M", 4096, 4096, 1376, 5, 8},
}};

// TD-MPC2's rule: 6 iterations, and 8 if an action has 20 numbers or more.
uint32_t IterationsOf(const proto::EnvSpec& spec) { return spec.action_size() >= 20 ? 8 : 6; }

// TD-MPC2's rule for episodes of T decisions: clip((T/5 - 1) / (T/5), 0.95, 0.995).
double DiscountOf(const proto::EnvSpec& spec) {
  const double fifth = spec.episode_decisions() / 5.0;
  return std::clamp((fifth - 1) / fifth, 0.95, 0.995);
}

// TD-MPC2's rule: as many rows as five episodes of T decisions, at least 1000.
uint64_t SeedRowsOf(const proto::EnvSpec& spec) {
  return std::max<uint64_t>(1000, 5 * uint64_t{spec.episode_decisions()});
}

}  // namespace

absl::StatusOr<proto::RunConfig> LoadRunConfig(const RunConfigSources& sources) {
  proto::RunConfig config;
  const std::string dir = sources.presets_dir.empty() ? DefaultPresetsDir() : sources.presets_dir;
  for (const std::string& preset : sources.presets) {
    POMPC_ASSIGN_OR_RETURN(const std::string path, FindPreset(dir, preset));
    POMPC_RETURN_IF_ERROR(MergeFile(path, &config));
  }
  for (const std::string& path : sources.files) POMPC_RETURN_IF_ERROR(MergeFile(path, &config));
  for (const std::string& assignment : sources.overrides) {
    POMPC_RETURN_IF_ERROR(ApplyOverride(assignment, &config));
  }
  // Only the whole is checked: a preset may be valid only together with what overrides it.
  POMPC_RETURN_IF_ERROR(Validate(config));
  return Resolve(std::move(config));
}

proto::RunConfig Resolve(proto::RunConfig config) {
  FillDefaults(&config);
  return config;
}

absl::StatusOr<proto::ModelConfig> FillSizes(proto::ModelConfig model) {
  const auto size = std::find_if(kSizes.begin(), kSizes.end(), [&](const NamedSize& named) {
    return named.name == model.size();
  });
  if (size == kSizes.end()) {
    const auto name = [](std::string* out, const NamedSize& named) { out->append(named.name); };
    return absl::InvalidArgumentError(
        absl::StrCat("model.size: \"", model.size(),
                     "\" is not a size; allowed: ", absl::StrJoin(kSizes, ", ", name)));
  }
  POMPC_CHECK(size->num_q >= 2 && size->latent_dim > 0);
  if (model.encoder_dim() == 0) model.set_encoder_dim(size->encoder_dim);
  if (model.mlp_dim() == 0) model.set_mlp_dim(size->mlp_dim);
  if (model.latent_dim() == 0) model.set_latent_dim(size->latent_dim);
  if (model.encoder_layers() == 0) model.set_encoder_layers(size->encoder_layers);
  if (model.num_q() == 0) model.set_num_q(size->num_q);
  return model;
}

absl::StatusOr<proto::RunConfig> Derive(proto::RunConfig config) {
  POMPC_RETURN_IF_ERROR(Validate(config));
  const proto::EnvSpec& spec = config.env().spec();
  if (spec.observation_size() == 0 || spec.action_size() == 0) {
    return absl::InvalidArgumentError(
        "env.spec: observation_size and action_size must be given, at least 1 each");
  }
  POMPC_ASSIGN_OR_RETURN(*config.mutable_model(), FillSizes(config.model()));
  proto::PlannerConfig& planner = *config.mutable_planner();
  if (planner.iterations() == 0) planner.set_iterations(IterationsOf(spec));
  // The rounding of sums depends on the size of the batch, which depends on the clock unless it
  // is 1.
  if (config.schedule() == proto::RunConfig::LOCKSTEP) planner.set_max_batch(1);
  proto::LearnerConfig& learner = *config.mutable_learner();
  if (learner.discount() == 0) learner.set_discount(DiscountOf(spec));
  POMPC_CHECK(learner.discount() > 0 && learner.discount() <= 1);
  proto::PoMpcConfig& po_mpc = *config.mutable_po_mpc();
  // PO-MPC's trade-off between return and divergence: lambda in [0, inf) becomes alpha in [0, 1).
  if (!po_mpc.has_alpha()) po_mpc.set_alpha(po_mpc.lambda() / (1 + po_mpc.lambda()));
  POMPC_CHECK_GT(planner.iterations(), 0u);
  return config;
}

uint64_t SeedRows(const proto::RunConfig& config) {
  const uint64_t given = config.learner().seed_rows();
  return given > 0 ? given : SeedRowsOf(config.env().spec());
}

uint64_t PretrainUpdates(const proto::RunConfig& config) {
  const proto::LearnerConfig& learner = config.learner();
  return learner.has_pretrain_updates() ? learner.pretrain_updates() : SeedRows(config);
}

// The bounds are those of model/planning/plan.cc, whatever the method: see "Planning" in
// docs/algorithm.md. Shards refuse rows whose standard deviations lie outside, so these must not be
// too narrow.
StdRange PlanStdRange(const proto::RunConfig& config) {
  const proto::PlannerConfig& planner = config.planner();
  if (planner.statistic() == proto::PlannerConfig::BEST) {
    // The root of 1e-6 plus a weighted mean of squared distances between two actions, which are at
    // most 2 apart.
    return {1e-3f, 2.0001f};
  }
  return {static_cast<float>(planner.min_std()), static_cast<float>(planner.max_std())};
}

proto::TableConfig LearnerTable(const proto::RunConfig& config) {
  const std::string& name = config.learner().table();
  for (const proto::TableConfig& table : config.replay().tables()) {
    if (name.empty() || table.name() == name) return table;
  }
  // Without any table in the config, shards have one with the defaults.
  POMPC_CHECK_EQ(config.replay().tables_size(), 0, name);
  proto::TableConfig only;
  only.set_name(kDefaultTable);
  return only;
}

std::optional<double> ImportanceExponent(const proto::RunConfig& config) {
  const proto::TableConfig table = LearnerTable(config);
  if (table.selector() != proto::TableConfig::PRIORITIZED) return std::nullopt;
  return table.beta();
}

std::string ToText(const proto::RunConfig& config) {
  std::string text;
  TextFormat::PrintToString(config, &text);
  return text;
}

std::string DefaultPresetsDir() { return DataFolder("POMPC_PRESETS_DIR", "presets"); }

absl::StatusOr<std::vector<std::string>> ListPresets(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kExtension) names.push_back(it->path().stem().string());
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("presets folder ", dir, ": ", error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> FindPreset(const std::string& dir, const std::string& name) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPresets(dir));
  if (std::find(names.begin(), names.end(), name) != names.end()) {
    return (fs::path(dir) / absl::StrCat(name, kExtension)).string();
  }
  return absl::NotFoundError(absl::StrCat("unknown preset \"", name, "\"; presets in ", dir, ": ",
                                          absl::StrJoin(names, ", ")));
}

}  // namespace pompc::config
