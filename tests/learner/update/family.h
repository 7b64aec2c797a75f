// Settings that take every path of an update: the presets' and their neighbours.
#ifndef POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_
#define POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_

#include <ostream>
#include <string>
#include <vector>

#include "tests/model/testing.h"

namespace pompc::update {

struct FamilyMember {
  std::string name;
  proto::RunConfig config;
};

inline void PrintTo(const FamilyMember& member, std::ostream* out) { *out << member.name; }

inline std::vector<FamilyMember> Family() {
  std::vector<FamilyMember> family;
  const auto add = [&](const char* name, auto change) {
    FamilyMember member{name, model::SmallConfig()};
    change(*member.config.mutable_model(), *member.config.mutable_po_mpc());
    family.push_back(member);
  };
  using Model = proto::ModelConfig;
  using PoMpc = proto::PoMpcConfig;
  add("PoMpc", [](Model&, PoMpc&) {});
  family.back().config.mutable_env()->mutable_spec()->set_terminates(true);
  add("WindowEnd", [](Model&, PoMpc& po_mpc) {
    po_mpc.set_target_horizon(PoMpc::WINDOW_END);
    po_mpc.set_policy_kl(PoMpc::MASS_COVERING);
    po_mpc.set_actor_weights(PoMpc::LITERAL);
    po_mpc.set_regularized_value_gradient(true);
  });
  add("Imitation", [](Model& model, PoMpc& po_mpc) {
    po_mpc.set_alpha(1);
    po_mpc.set_prior_kl(PoMpc::REVERSE);
    model.set_dropout(0);
  });
  add("StoredPlans", [](Model&, PoMpc& po_mpc) {
    po_mpc.set_prior(PoMpc::REPLAY);
    po_mpc.set_kl_threshold(2);
    po_mpc.set_policy_kl(PoMpc::CROSS_ENTROPY);
  });
  add("SquashedStoredPlans", [](Model& model, PoMpc& po_mpc) {
    model.set_policy_form(Model::TANH_GAUSSIAN);
    po_mpc.set_prior(PoMpc::REPLAY);
    po_mpc.set_actor_weights(PoMpc::MIX);
    po_mpc.set_kl_reduction(PoMpc::MEAN);
    po_mpc.set_plan_half_life_versions(10);
    po_mpc.set_target_horizon(PoMpc::WINDOW_END);
  });
  add("SquashedPrior", [](Model& model, PoMpc& po_mpc) {
    model.set_policy_form(Model::TANH_GAUSSIAN);
    po_mpc.set_prior_kl(PoMpc::REVERSE);
    po_mpc.set_policy_at_window_end(true);
  });
  add("SquashedForwardPrior", [](Model& model, PoMpc& po_mpc) {
    model.set_policy_form(Model::TANH_GAUSSIAN);
    po_mpc.set_prior_gate(PoMpc::VALUE);
    po_mpc.set_policy_kl(PoMpc::CROSS_ENTROPY);
    po_mpc.set_target_horizon(PoMpc::WINDOW_END);
  });
  add("StateValues", [](Model& model, PoMpc& po_mpc) {
    model.set_value_form(Model::STATE_VALUES);
    po_mpc.set_alpha(1);
    po_mpc.set_prior(PoMpc::REPLAY);
    po_mpc.set_kl_reduction(PoMpc::MEAN);
  });
  add("TdMpc2", [](Model& model, PoMpc& po_mpc) {
    model.set_policy_form(Model::TANH_GAUSSIAN);
    po_mpc.set_alpha(0);
    po_mpc.set_policy_values(PoMpc::PLAIN);
    po_mpc.set_policy_at_window_end(true);
  });
  return family;
}

}  // namespace pompc::update

#endif  // POMPC_TESTS_LEARNER_UPDATE_FAMILY_H_
