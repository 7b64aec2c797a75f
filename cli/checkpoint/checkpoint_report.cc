#include "cli/checkpoint/checkpoint_report.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/report/format.h"
#include "common/config/differences.h"
#include "common/config/run_config.h"
#include "run/rows/row_counter.h"

namespace pompc::cli {
namespace {

using Table = std::vector<std::vector<std::string>>;

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
  return FormatTable({{"checkpoint", checkpoint.folder},
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

std::string Settings(const CheckpointFile& checkpoint) {
  Table rows;
  for (const config::FieldDifference& field : config::Differences(
           config::Resolve(proto::RunConfig()), config::Resolve(checkpoint.config), "")) {
    rows.push_back(
        {field.path, absl::StrCat("= ", field.now), absl::StrCat("default ", field.before)});
  }
  return rows.empty() ? "  none\n" : FormatTable(rows);
}

std::string Networks(const update::UpdaterState& state) {
  Table rows = {{"of", "tensors", "numbers", "norm"}};
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
  Table rows = {{"name", "shape", "numbers", "norm"}};
  for (const model::NamedTensor& named : state.tensors) {
    rows.push_back({named.name, absl::StrCat("(", absl::StrJoin(named.tensor.sizes(), ", "), ")"),
                    FormatCount(static_cast<uint64_t>(named.tensor.numel())),
                    absl::StrFormat("%.6g", std::sqrt(SumOfSquares(named.tensor)))});
  }
  return FormatTable(rows);
}

std::string Counters(const update::UpdaterState& state) {
  Table rows;
  for (const auto& [name, text] : state.metadata) rows.push_back({name, text});
  return FormatTable(rows);
}

}  // namespace

std::string CheckpointReport(const CheckpointFile& checkpoint) {
  return absl::StrCat(Summary(checkpoint), "\nsettings that are not the defaults\n",
                      Settings(checkpoint), "\nnetworks, optimisers, scales\n",
                      Networks(checkpoint.state), "\ntensors\n", Tensors(checkpoint.state),
                      "\ncounters\n", Counters(checkpoint.state));
}

}  // namespace pompc::cli
