// Two-hot heads in symlog space (algorithm of DreamerV3 as TD-MPC2 uses it): decoding and
// cross-entropy. float32, row-major, single-threaded, thread-safe.
#ifndef POMPC_MODEL_KERNELS_TWO_HOT_H_
#define POMPC_MODEL_KERNELS_TWO_HOT_H_

#include <cstdint>

#include "model/kernels/gemm.h"

namespace pompc::model::kernels {

// REQUIRES: every count is 2 to kMaxBins.
inline constexpr int64_t kMaxBins = 1024;

// Bin k is centred at low + k * width in symlog space.
struct TwoHotBins {
  int64_t count = 0;
  double low = 0;
  double width = 0;
};

// values[r] = symexp(sum_k softmax(logits[r])_k center_k) for `rows` rows.
void TwoHotDecodeForward(const TwoHotBins& bins, int64_t rows, const float* logits, float* values);

// The same from rows that are padded to a multiple of kColumnMultiple logits with kNoLogit.
// `values` has room for as many rows.
inline constexpr float kNoLogit = -1e30f;
void TwoHotDecodeRows(const TwoHotBins& bins, int64_t rows, RowsOf<const float> logits,
                      float* values);

// logits_gradient [rows, count] from the gradient at the values [rows].
void TwoHotDecodeBackward(const TwoHotBins& bins, int64_t rows, const float* logits,
                          const float* values_gradient, float* logits_gradient);

// sum over rows of weights[row] times the mean over `members` blocks of
// cross-entropy(two-hot(targets[row]), logits[member, row]). `logits_gradient` receives the
// gradient of that sum, [members, rows, count].
double TwoHotCrossEntropy(const TwoHotBins& bins, int64_t members, int64_t rows,
                          const float* logits, const float* targets, const float* weights,
                          float* logits_gradient);

}  // namespace pompc::model::kernels

#endif  // POMPC_MODEL_KERNELS_TWO_HOT_H_
