#ifndef POMPC_LEARNER_STATUS_PUBLISHED_CURVES_H_
#define POMPC_LEARNER_STATUS_PUBLISHED_CURVES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pompc::learner {

// Mean returns of one method on one task, as its authors published them
// (bench/learning/published/README.md).
struct PublishedCurve {
  std::string method;
  // The method's place among all methods of the file, from 0.
  size_t index = 0;
  // Control steps of the environment, action repeat included; ascending.
  std::vector<double> frames;
  // One number for each of `frames`.
  std::vector<double> return_mean;
  // The runs in each mean; nothing where the source does not say.
  std::vector<std::optional<int>> seeds;
};

// A point of a curve, or between two of them.
struct PublishedReturn {
  double return_mean = 0;
  // The runs in it; of two points, those of the one with fewer.
  std::optional<int> seeds;
};

// Returns the folder of the published curves: $POMPC_PUBLISHED_DIR, else where DataFolder finds
// bench/learning/published/.
std::string DefaultPublishedDir();

// Returns the curves of `task` in the order of the file dmc.csv of `dir`, of all methods or, if
// `methods` names some, of these. NOT_FOUND naming the file if there is none, NOT_FOUND listing the
// tasks if it has none of this task, INVALID_ARGUMENT listing the task's methods if one of
// `methods` is not among them, DATA_LOSS naming the line if it is not a table of this form.
absl::StatusOr<std::vector<PublishedCurve>> ReadPublishedCurves(
    const std::string& dir, const std::string& task, const std::vector<std::string>& methods = {});

// Returns the curve's value at `frames`, in a straight line between two points; nothing where the
// curve does not reach.
std::optional<PublishedReturn> ReturnAt(const PublishedCurve& curve, double frames);

// Returns the part of the curve up to `frames`, which ends in ReturnAt(curve, frames) if that is
// there.
PublishedCurve UpTo(const PublishedCurve& curve, double frames);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_PUBLISHED_CURVES_H_
