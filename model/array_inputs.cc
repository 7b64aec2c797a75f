#include "model/array_inputs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pompc::model {

ArrayInputs::ArrayInputs(const NamedTensors& arrays, Rule rule) : rule_(std::move(rule)) {
  for (const NamedTensor& named : arrays) arrays_[named.name] = named.tensor;
}

at::Tensor ArrayInputs::Take(const std::string& name, at::ScalarType type,
                             const std::vector<int64_t>& shape) {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) {
    problems_.push_back(absl::StrCat(name, " is missing"));
    return at::Tensor();
  }
  const at::Tensor tensor = found->second;
  arrays_.erase(found);
  bool fits = tensor.scalar_type() == type && tensor.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    const int64_t size = tensor.size(static_cast<int64_t>(i));
    fits = shape[i] < 0 ? size > 0 : size == shape[i];
  }
  if (fits) {
    const std::string rule = rule_(name, tensor);
    if (rule.empty()) return tensor;
    problems_.push_back(absl::StrCat(name, ", which ", rule));
    return at::Tensor();
  }
  problems_.push_back(absl::StrCat(name, " is ",
                                   DescribeTensor(tensor.scalar_type(), tensor.sizes()),
                                   ", must be ", DescribeTensor(type, shape)));
  return at::Tensor();
}

absl::Status ArrayInputs::status() const {
  std::vector<std::string> problems = problems_;
  if (problems.empty()) {
    for (const auto& [name, tensor] : arrays_) problems.push_back(name + " is unknown");
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(problems, "; "));
}

}  // namespace pompc::model
