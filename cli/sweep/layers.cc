#include "cli/sweep/layers.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/sweep/plan.h"
#include "common/base/check.h"
#include "common/config/fields.h"
#include "common/config/text_parser.h"
#include "common/values/split_mix.h"
#include "google/protobuf/text_format.h"

namespace pompc::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kLongestName = 100;

bool IsNameLetter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("._=+-").find(c) != absl::string_view::npos;
}

absl::Status CheckName(absl::string_view what, const std::string& name) {
  const bool good = !name.empty() && name.size() <= kLongestName && name[0] != '.' &&
                    std::all_of(name.begin(), name.end(), IsNameLetter);
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": \"", name, "\"; allowed: 1 to ", kLongestName,
                   " letters, digits and . _ = + -, not beginning with a dot"));
}

// The value with a dash for each character that a name cannot have.
std::string InName(absl::string_view value) {
  std::string name(value);
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !IsNameLetter(c); }, '-');
  return name;
}

LayeredSetting FromLayer(const proto::SweepLayer& layer) {
  LayeredSetting setting = {.name = layer.name(), .sources = {}};
  setting.sources.presets.assign(layer.preset().begin(), layer.preset().end());
  setting.sources.files.assign(layer.file().begin(), layer.file().end());
  setting.sources.overrides = AsAssignments(layer.config());
  setting.sources.overrides.insert(setting.sources.overrides.end(), layer.set().begin(),
                                   layer.set().end());
  return setting;
}

void Append(const std::vector<std::string>& from, std::vector<std::string>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

// Every one of `before` with every one of `factor`.
std::vector<LayeredSetting> Product(const std::vector<LayeredSetting>& before,
                                    const std::vector<LayeredSetting>& factor) {
  std::vector<LayeredSetting> product;
  for (const LayeredSetting& one : before) {
    for (const LayeredSetting& other : factor) {
      LayeredSetting both = one;
      absl::StrAppend(&both.name, one.name.empty() || other.name.empty() ? "" : "+", other.name);
      Append(other.sources.presets, &both.sources.presets);
      Append(other.sources.files, &both.sources.files);
      Append(other.sources.overrides, &both.sources.overrides);
      product.push_back(std::move(both));
    }
  }
  return product;
}

// The last part of a field's path, or all of it where another axis has the same last part.
std::string ShortPath(const proto::SweepConfig& sweep, const std::string& path) {
  const auto last = [](const std::string& text) { return text.substr(text.rfind('.') + 1); };
  int same = 0;
  for (const proto::SweepAxis& axis : sweep.axis()) same += last(axis.field()) == last(path);
  return same > 1 ? path : last(path);
}

// A field that an axis or a draw may vary.
absl::Status CheckField(const std::string& path) {
  if (path == "seed") {
    return absl::InvalidArgumentError("seed is no axis; `seeds` lists the seeds of every setting");
  }
  if (path == "env.task") {
    return absl::InvalidArgumentError("env.task is no axis; `task` lists the tasks");
  }
  return config::FindField(path).status();
}

absl::StatusOr<std::vector<LayeredSetting>> GridValues(const proto::SweepConfig& sweep,
                                                       const proto::SweepAxis& axis) {
  POMPC_RETURN_IF_ERROR(CheckField(axis.field()));
  std::vector<LayeredSetting> values;
  for (const std::string& value : axis.value()) {
    const std::string assignment = absl::StrCat(axis.field(), "=", value);
    // Alone, so that an error names this value; the configs as a whole are checked later.
    proto::RunConfig scratch;
    POMPC_RETURN_IF_ERROR(config::ApplyOverride(assignment, &scratch));
    LayeredSetting setting = {
        .name = absl::StrCat(ShortPath(sweep, axis.field()), "=", InName(value)), .sources = {}};
    setting.sources.overrides.push_back(assignment);
    values.push_back(std::move(setting));
  }
  return values;
}

absl::StatusOr<std::vector<LayeredSetting>> AxisValues(const proto::SweepConfig& sweep, int i) {
  const proto::SweepAxis& axis = sweep.axis(i);
  const std::string place = absl::StrCat("axis ", i + 1);
  const bool grid = !axis.field().empty() && axis.value_size() > 0;
  if (grid == (axis.point_size() > 0) || (!grid && axis.value_size() > 0) ||
      (!grid && axis.has_field())) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": allowed: a field and its values, or points"));
  }
  if (grid) {
    absl::StatusOr<std::vector<LayeredSetting>> values = GridValues(sweep, axis);
    if (!values.ok()) return Annotate(values.status(), absl::StrCat(place, ", ", axis.field()));
    return values;
  }
  std::vector<LayeredSetting> points;
  for (const proto::SweepLayer& point : axis.point()) {
    POMPC_RETURN_IF_ERROR(CheckName(absl::StrCat(place, ", name of a point"), point.name()));
    points.push_back(FromLayer(point));
  }
  return points;
}

bool IsInteger(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32 ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
}

absl::Status CheckRandomField(const proto::SweepRandomField& random) {
  POMPC_RETURN_IF_ERROR(CheckField(random.path()));
  POMPC_ASSIGN_OR_RETURN(const FieldDescriptor* field, config::FindField(random.path()));
  if (!IsInteger(*field) && field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) {
    return absl::InvalidArgumentError(
        absl::StrCat("is no number (", config::Allowed(*field), "); draw numbers alone"));
  }
  if (!random.has_low() || !random.has_high() || !(random.low() <= random.high()) ||
      !std::isfinite(random.low()) || !std::isfinite(random.high())) {
    return absl::InvalidArgumentError(absl::StrCat("low ", random.low(), ", high ", random.high(),
                                                   "; allowed: finite numbers, low <= high"));
  }
  if (random.scale() == proto::SweepRandomField::LOG_UNIFORM && !(random.low() > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("low ", random.low(), "; allowed with LOG_UNIFORM: above 0"));
  }
  return absl::OkStatus();
}

// Uniform in [0, 1), the same on every machine.
double UniformDraw(uint64_t seed, uint64_t field, uint64_t draw) {
  return static_cast<double>(MixSeed(MixSeed(seed, field), draw) >> 11) * 0x1p-53;
}

std::string DrawnValue(const proto::SweepRandomField& random, bool integer, double uniform) {
  const bool log = random.scale() == proto::SweepRandomField::LOG_UNIFORM;
  double value = log ? std::exp(std::lerp(std::log(random.low()), std::log(random.high()), uniform))
                     : std::lerp(random.low(), random.high(), uniform);
  value = std::clamp(value, random.low(), random.high());
  if (integer) return absl::StrCat(static_cast<uint64_t>(std::llround(value)));
  // Six digits are read more easily than seventeen, and nobody tells the difference.
  return absl::StrFormat("%.6g", value);
}

absl::StatusOr<std::vector<LayeredSetting>> Draws(const proto::SweepRandom& random) {
  if (random.field_size() == 0) {
    return absl::InvalidArgumentError("random: no field; allowed: 1 or more");
  }
  std::vector<LayeredSetting> draws(random.draws());
  for (int f = 0; f < random.field_size(); ++f) {
    const proto::SweepRandomField& drawn = random.field(f);
    const std::string place = absl::StrCat("random, ", drawn.path());
    POMPC_RETURN_IF_ERROR(Annotate(CheckRandomField(drawn), place));
    POMPC_ASSIGN_OR_RETURN(const FieldDescriptor* field, config::FindField(drawn.path()));
    for (size_t i = 0; i < draws.size(); ++i) {
      const std::string assignment =
          absl::StrCat(drawn.path(), "=",
                       DrawnValue(drawn, IsInteger(*field),
                                  UniformDraw(random.seed(), static_cast<uint64_t>(f), i)));
      proto::RunConfig scratch;
      POMPC_RETURN_IF_ERROR(Annotate(config::ApplyOverride(assignment, &scratch), place));
      draws[i].name = absl::StrCat("draw-", i + 1);
      draws[i].sources.overrides.push_back(assignment);
    }
  }
  return draws;
}

absl::StatusOr<std::vector<LayeredSetting>> NamedSettings(const proto::SweepConfig& sweep) {
  LayeredSetting base = FromLayer(sweep.base());
  if (!base.name.empty()) {
    return absl::InvalidArgumentError("base: name: the base has none; allowed in `setting`");
  }
  if (sweep.setting_size() == 0) return std::vector<LayeredSetting>{base};
  std::vector<LayeredSetting> named;
  for (const proto::SweepLayer& setting : sweep.setting()) {
    POMPC_RETURN_IF_ERROR(CheckName("setting: name", setting.name()));
    named.push_back(FromLayer(setting));
  }
  return Product({base}, named);
}

// The assignments of one field that is set.
void AddAssignments(const Message& message, const std::string& scope,
                    std::vector<std::string>* assignments) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = config::JoinPath(scope, field->name());
    if (field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        AddAssignments(reflection.GetRepeatedMessage(message, field, i),
                       config::JoinPath(path, absl::StrCat(i)), assignments);
      }
    } else if (field->message_type() != nullptr) {
      AddAssignments(reflection.GetMessage(message, field), path, assignments);
    } else {
      std::string value;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        value = reflection.GetString(message, field);
      } else {
        google::protobuf::TextFormat::PrintFieldValueToString(message, field, -1, &value);
      }
      assignments->push_back(absl::StrCat(path, "=", value));
    }
  }
}

}  // namespace

std::string ShellWord(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("_@%+=:,./-").find(c) != absl::string_view::npos;
  });
  return plain ? word : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\"'\"'"}}), "'");
}

std::vector<std::string> AsAssignments(const proto::RunConfig& config) {
  std::vector<std::string> assignments;
  AddAssignments(config, "", &assignments);
  return assignments;
}

std::string FlagsText(const config::RunConfigSources& sources) {
  std::vector<std::string> words;
  const auto add = [&words](const char* flag, const std::vector<std::string>& values) {
    for (const std::string& value : values) words.push_back(absl::StrCat(flag, ShellWord(value)));
  };
  add("--preset ", sources.presets);
  add("--config ", sources.files);
  add("--set ", sources.overrides);
  return absl::StrJoin(words, " ");
}

absl::StatusOr<std::vector<LayeredSetting>> MakeSettings(const proto::SweepConfig& sweep) {
  POMPC_ASSIGN_OR_RETURN(std::vector<LayeredSetting> settings, NamedSettings(sweep));
  for (int i = 0; i <= sweep.axis_size(); ++i) {
    std::vector<LayeredSetting> factor;
    if (i < sweep.axis_size()) {
      POMPC_ASSIGN_OR_RETURN(factor, AxisValues(sweep, i));
    } else if (sweep.has_random()) {
      POMPC_ASSIGN_OR_RETURN(factor, Draws(sweep.random()));
    } else {
      break;
    }
    if (settings.size() * factor.size() > kMostTrials) {
      return absl::InvalidArgumentError(absl::StrCat(settings.size() * factor.size(),
                                                     " settings and more; allowed: ", kMostTrials));
    }
    settings = Product(settings, factor);
  }
  std::set<std::string> names;
  for (LayeredSetting& setting : settings) {
    if (setting.name.empty()) setting.name = "base";
    POMPC_RETURN_IF_ERROR(CheckName("name of a setting", setting.name));
    if (names.insert(setting.name).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("two settings are called \"", setting.name, "\"; allowed: each name once"));
  }
  return settings;
}

}  // namespace pompc::cli
