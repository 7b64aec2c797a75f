#ifndef POMPC_PLANNER_FLAGS_H_
#define POMPC_PLANNER_FLAGS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "planner/options.h"
#include "planner/torch_engine.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::planner {

// The flags of pompc-planner, beside those that all roles have.
struct Flags {
  TorchEngineOptions engine;

  void AddTo(CLI::App& app);
  // The options that the flags make, without server, engine and metrics; learners are trusted by
  // `certificates`. INVALID_ARGUMENT naming the flag.
  absl::StatusOr<AppOptions> MakeOptions(
      const std::shared_ptr<const rpc::Certificates>& certificates) const;

  // The values as they are parsed.
  std::string learners;
  bool accept_runs = AppOptions().accept_runs;
  int max_runs = AppOptions().max_runs;
  int64_t drain_seconds = absl::ToInt64Seconds(AppOptions().drain_timeout);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_FLAGS_H_
