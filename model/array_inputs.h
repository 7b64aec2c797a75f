#ifndef POMPC_MODEL_ARRAY_INPUTS_H_
#define POMPC_MODEL_ARRAY_INPUTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/parameters.h"

namespace pompc::model {

// Named arrays from a file, handed out by name. Each is checked, and what is wrong is kept: whoever
// writes such a file hears of all its faults at once. Used by one thread at a time.
class ArrayInputs {
 public:
  // Returns the rule that the numbers of an array break ("must be finite"), or nothing.
  using Rule = std::function<std::string(const std::string& name, const at::Tensor& array)>;

  ArrayInputs(const NamedTensors& arrays, Rule rule);

  bool Has(const std::string& name) const { return arrays_.contains(name); }

  // The array, or an undefined tensor if it is not as it must be. A size of -1 may be any but 0.
  at::Tensor Take(const std::string& name, at::ScalarType type, const std::vector<int64_t>& shape);

  // True if nothing was wrong with what was taken.
  bool ok() const { return problems_.empty(); }
  // INVALID_ARGUMENT naming what was wrong; if nothing was, what has not been taken.
  absl::Status status() const;

 private:
  const Rule rule_;
  std::map<std::string, at::Tensor> arrays_;
  std::vector<std::string> problems_;
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_ARRAY_INPUTS_H_
