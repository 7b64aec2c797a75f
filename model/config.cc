#include "model/config.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pompc::model {
namespace {

absl::Status OutOfRange(std::string_view field, double value, std::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), " = ", value, ": must be ", std::string(allowed)));
}

struct NamedSize {
  std::string_view name;
  int encoder_dim, mlp_dim, latent_dim, encoder_layers, num_q;
};

// tiny and small fit two CPU cores; the others are TD-MPC2's (its model_size 1, 5, 19, 48, 317).
constexpr std::array<NamedSize, 7> kSizes = {{
    {"tiny", 128, 128, 64, 2, 2},
    {"small", 256, 256, 128, 2, 2},
    {"1M", 256, 384, 128, 2, 2},
    {"5M", 256, 512, 512, 2, 5},
    {"19M", 1024, 1024, 768, 3, 5},
    {"48M", 1792, 1792, 768, 4, 5},
    {"317M", 4096, 4096, 1376, 5, 8},
}};

}  // namespace

absl::Status ModelConfig::Validate() const {
  if (observation_size < 1) return OutOfRange("observation_size", observation_size, "at least 1");
  if (action_size < 1) return OutOfRange("action_size", action_size, "at least 1");
  if (encoder_dim < 1) return OutOfRange("encoder_dim", encoder_dim, "at least 1");
  if (mlp_dim < 1) return OutOfRange("mlp_dim", mlp_dim, "at least 1");
  if (encoder_layers < 1) return OutOfRange("encoder_layers", encoder_layers, "at least 1");
  if (num_q < 2) return OutOfRange("num_q", num_q, "at least 2");
  if (simnorm_dim < 2) return OutOfRange("simnorm_dim", simnorm_dim, "at least 2");
  if (latent_dim < 1 || latent_dim % simnorm_dim != 0) {
    return OutOfRange("latent_dim", latent_dim,
                      absl::StrCat("a positive multiple of simnorm_dim = ", simnorm_dim));
  }
  if (!(dropout >= 0 && dropout < 1)) return OutOfRange("dropout", dropout, "in [0, 1)");
  if (num_bins < 3) return OutOfRange("num_bins", num_bins, "at least 3");
  if (!(bin_max > bin_min)) {
    return OutOfRange("bin_max", bin_max, absl::StrCat("greater than bin_min = ", bin_min));
  }
  if (!(log_std_max > log_std_min)) {
    return OutOfRange("log_std_max", log_std_max,
                      absl::StrCat("greater than log_std_min = ", log_std_min));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> ModelSize(std::string_view name) {
  std::vector<std::string> names;
  for (const NamedSize& size : kSizes) {
    if (size.name == name) {
      ModelConfig config;
      config.encoder_dim = size.encoder_dim;
      config.mlp_dim = size.mlp_dim;
      config.latent_dim = size.latent_dim;
      config.encoder_layers = size.encoder_layers;
      config.num_q = size.num_q;
      return config;
    }
    names.emplace_back(size.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown model size \"", std::string(name),
                                                 "\": must be one of ",
                                                 absl::StrJoin(names, ", ")));
}

absl::Status MppiConfig::Validate() const {
  if (horizon < 1) return OutOfRange("horizon", horizon, "at least 1");
  if (iterations < 1) return OutOfRange("iterations", iterations, "at least 1");
  if (samples < 2) return OutOfRange("samples", samples, "at least 2");
  if (policy_samples < 0 || policy_samples >= samples) {
    return OutOfRange("policy_samples", policy_samples,
                      absl::StrCat("at least 0 and below samples = ", samples));
  }
  if (elites < 1 || elites > samples) {
    return OutOfRange("elites", elites, absl::StrCat("between 1 and samples = ", samples));
  }
  if (!(temperature >= 0)) return OutOfRange("temperature", temperature, "at least 0");
  if (!(min_std > 0)) return OutOfRange("min_std", min_std, "positive");
  if (!(max_std >= min_std)) {
    return OutOfRange("max_std", max_std, absl::StrCat("at least min_std = ", min_std));
  }
  if (!(discount >= 0 && discount <= 1)) return OutOfRange("discount", discount, "in [0, 1]");
  if (states_per_pass < 0) return OutOfRange("states_per_pass", states_per_pass, "at least 0");
  return absl::OkStatus();
}

int DefaultIterations(int action_size) { return action_size >= 20 ? 8 : 6; }

}  // namespace pompc::model
