#include "cli/checkpoint/checkpoint_arrays.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/npz.h"

namespace pompc::cli {
namespace {

// Arrays named in one message.
constexpr size_t kMaxNamed = 8;

std::optional<uint64_t> Counter(const std::string& text) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return std::nullopt;
  return number;
}

// Seeds above 2^63 show as negative.
std::string CounterText(const std::string& name, int64_t number) {
  if (name == "updater.seed") return absl::StrCat(static_cast<uint64_t>(number));
  return absl::StrCat(number);
}

std::string Description(const at::Tensor& tensor) {
  return model::DescribeArray(tensor.scalar_type(), tensor.sizes());
}

// "2 missing: a, b"
void AddProblem(const std::vector<std::string>& names, const char* what,
                std::vector<std::string>* problems) {
  if (names.empty()) return;
  const size_t shown = std::min(names.size(), kMaxNamed);
  problems->push_back(
      absl::StrCat(names.size(), " ", what, ": ",
                   absl::StrJoin(names.begin(), names.begin() + static_cast<int64_t>(shown), ", "),
                   shown < names.size() ? ", ..." : ""));
}

}  // namespace

model::NamedTensors ArraysOf(const update::UpdaterState& state) {
  model::NamedTensors arrays = state.tensors;
  for (const auto& [name, text] : state.metadata) {
    if (const std::optional<uint64_t> number = Counter(text))
      arrays.push_back({name, at::full({}, static_cast<int64_t>(*number), at::kLong)});
  }
  return arrays;
}

absl::Status SetArrays(const model::NamedTensors& arrays, update::UpdaterState* state) {
  std::map<std::string, at::Tensor> given;
  for (const model::NamedTensor& named : arrays) given[named.name] = named.tensor;
  std::vector<std::string> missing, wrong, impossible, unknown;
  update::UpdaterState result{{}, state->metadata};
  for (const model::NamedTensor& wanted : ArraysOf(*state)) {
    const auto found = given.find(wanted.name);
    if (found == given.end()) {
      missing.push_back(wanted.name);
      continue;
    }
    const at::Tensor tensor = found->second;
    given.erase(found);
    if (tensor.sizes() != wanted.tensor.sizes() ||
        tensor.scalar_type() != wanted.tensor.scalar_type()) {
      wrong.push_back(absl::StrCat(wanted.name, " is ", Description(tensor), ", must be ",
                                   Description(wanted.tensor)));
    } else if (state->metadata.contains(wanted.name)) {
      const std::string text = CounterText(wanted.name, tensor.item<int64_t>());
      const std::string rule = update::CounterProblem(wanted.name, text);
      if (!rule.empty()) {
        impossible.push_back(absl::StrCat(wanted.name, " is ", text, ", ", rule));
      }
      result.metadata[wanted.name] = text;
    } else {
      const std::string rule = update::TensorProblem({wanted.name, tensor});
      if (!rule.empty()) impossible.push_back(absl::StrCat(wanted.name, ", which ", rule));
      result.tensors.push_back({wanted.name, tensor});
    }
  }
  for (const auto& [name, tensor] : given) unknown.push_back(name);
  std::vector<std::string> problems;
  AddProblem(missing, "missing", &problems);
  AddProblem(unknown, "unknown", &problems);
  AddProblem(wrong, "of another shape or type", &problems);
  AddProblem(impossible, "with numbers that cannot be", &problems);
  if (!problems.empty())
    return absl::InvalidArgumentError(absl::StrCat("arrays ", absl::StrJoin(problems, "; ")));
  *state = std::move(result);
  return absl::OkStatus();
}

}  // namespace pompc::cli
