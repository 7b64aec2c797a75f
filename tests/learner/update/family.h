// Settings that take every path of an update: the presets' and their neighbours.
#ifndef POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_
#define POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_

#include <ostream>
#include <string>
#include <vector>

#include "learner/update/config.h"
#include "tests/model/testing.h"

namespace pompc::update {

struct FamilyMember {
  std::string name;
  model::ModelConfig model;
  UpdateConfig config;
};

inline void PrintTo(const FamilyMember& member, std::ostream* out) { *out << member.name; }

inline std::vector<FamilyMember> Family() {
  std::vector<FamilyMember> family;
  const auto add = [&](const char* name, auto change) {
    FamilyMember member{name, model::SmallConfig(), UpdateConfig()};
    change(member.model, member.config);
    family.push_back(member);
  };
  using Model = model::ModelConfig;
  using Config = UpdateConfig;
  add("PoMpc", [](Model& model, Config&) { model.terminates = true; });
  add("WindowEnd", [](Model&, Config& config) {
    config.target_horizon = TargetHorizon::kWindowEnd;
    config.policy_kl = PolicyKl::kMassCovering;
    config.actor_weights = ActorWeights::kLiteral;
    config.regularized_value_gradient = true;
  });
  add("Imitation", [](Model& model, Config& config) {
    config.alpha = 1;
    config.prior_kl = PriorKl::kReverse;
    model.dropout = 0;
  });
  add("StoredPlans", [](Model&, Config& config) {
    config.prior = Prior::kReplay;
    config.kl_threshold = 2;
    config.policy_kl = PolicyKl::kCrossEntropy;
  });
  add("SquashedStoredPlans", [](Model& model, Config& config) {
    model.policy_form = model::PolicyForm::kTanhGaussian;
    config.prior = Prior::kReplay;
    config.scale_kl = false;
    config.kl_reduction = KlReduction::kSum;
    config.target_horizon = TargetHorizon::kWindowEnd;
  });
  add("SquashedPrior", [](Model& model, Config& config) {
    model.policy_form = model::PolicyForm::kTanhGaussian;
    config.prior_kl = PriorKl::kReverse;
    config.policy_at_window_end = true;
  });
  add("TdMpc2", [](Model& model, Config& config) {
    model.policy_form = model::PolicyForm::kTanhGaussian;
    config.alpha = 0;
    config.policy_values = PolicyValues::kPlain;
    config.policy_at_window_end = true;
  });
  return family;
}

}  // namespace pompc::update

#endif  // POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_
