#include "common/config/run_config.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/overrides.h"
#include "common/config/presets.h"
#include "common/config/text_parser.h"
#include "common/io/files.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"

namespace pompc::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxFileBytes = 1 << 20;

absl::Status MergeFile(const std::string& path, proto::RunConfig* config) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return Annotate(text.status(), "config file");
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig layer, ParseRunConfig(*text, path));
  config->MergeFrom(layer);
  return absl::OkStatus();
}

void SetDefault(const FieldDescriptor& field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.SetUInt32(message, &field, field.default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(message, &field, field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.SetDouble(message, &field, field.default_value_double());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(message, &field, field.default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.SetEnum(message, &field, field.default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(message, &field, field.default_value_string());
    default:
      return;
  }
}

// Groups that say something by being there.
bool StaysAbsent(const FieldDescriptor& field) {
  return field.message_type() == proto::EnvSpec::descriptor();
}

void FillDefaults(Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
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
  POMPC_RETURN_IF_ERROR(Validate(config));
  return Resolve(std::move(config));
}

proto::RunConfig Resolve(proto::RunConfig config) {
  FillDefaults(&config);
  return config;
}

// What model/planning/plan.cc makes of each statistic, whatever the method.
StdRange PlanStdRange(const proto::RunConfig& config) {
  const proto::PlannerConfig& planner = config.planner();
  if (planner.statistic() == proto::PlannerConfig::BEST) {
    // The root of 1e-6 and the weighted squares of distances between two actions, 2 at most.
    return {1e-3f, 2.0001f};
  }
  return {static_cast<float>(planner.min_std()), static_cast<float>(planner.max_std())};
}

std::string ToText(const proto::RunConfig& config) {
  std::string text;
  google::protobuf::TextFormat::PrintToString(config, &text);
  return text;
}

}  // namespace pompc::config
