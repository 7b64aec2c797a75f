#ifndef POMPC_TESTS_PLANNER_FAKE_ENGINE_H_
#define POMPC_TESTS_PLANNER_FAKE_ENGINE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/wire.h"
#include "common/values/float_bytes.h"
#include "planner/engine.h"
#include "proto/planner.pb.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {

// FakeBackend behind published parameters. Snapshots with the data "broken" cannot be loaded.
class FakeEngine : public PlanEngine {
 public:
  explicit FakeEngine(PlanSpec spec = FakeSpec()) : spec_(spec) {}

  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    return backend.PlanBatch(model, items);
  }

  absl::StatusOr<std::shared_ptr<const PlannerModel>> Load(
      const parameters::ParameterSnapshot& snapshot) override {
    if (*snapshot.data == "broken") return absl::InvalidArgumentError("cannot be loaded");
    return std::make_shared<const PlannerModel>(snapshot.version(), snapshot.description.run_id(),
                                                spec_);
  }

  std::string arithmetic() const override { return "fake"; }

  FakeBackend backend;

 private:
  const PlanSpec spec_;
};

// Parameters for a FakeEngine.
inline parameters::ParameterSnapshot FakeSnapshot(ParameterVersion version,
                                                  uint32_t keep_seconds = 0,
                                                  const std::string& data = "data",
                                                  const std::string& run_id = "run") {
  proto::ParametersDescription description;
  *description.mutable_version() = ToProto(version);
  description.set_run_id(run_id);
  description.set_keep_seconds(keep_seconds);
  return parameters::MakeSnapshot(std::move(description), std::make_shared<std::string>(data));
}

// A request of run "run" for the plan that FakeItem(value) stands for, without its header.
inline proto::PlanRequest FakeRequest(float value = 0) {
  proto::PlanRequest request;
  proto::PlanQuery* query = request.add_queries();
  query->set_observation(ToBytes<float>(FakeItem(value).observation));
  query->set_seed(7);
  return request;
}

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_FAKE_ENGINE_H_
