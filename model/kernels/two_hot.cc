#include "model/kernels/two_hot.h"

#include <cmath>
#include <cstdint>

#include "common/base/check.h"
#include "model/kernels/vector_math.h"

namespace pompc::model::kernels {
namespace {

// One row of logits, padded to whole vectors with what vanishes in a softmax.
struct PaddedRow {
  float x[kMaxBins];
  int64_t size;
};

constexpr int kStep = kLanes<WideFloats>;

POMPC_INLINE void Pad(int64_t count, const float* row, PaddedRow& padded) {
  padded.size = (count + kStep - 1) / kStep * kStep;
  int64_t i = 0;
  for (; i + kStep <= count; i += kStep) Store(padded.x + i, Load<WideFloats>(row + i));
  for (; i < count; ++i) padded.x[i] = row[i];
  for (; i < padded.size; ++i) padded.x[i] = kNoLogit;
}

struct Softmax {
  float max, sum;
  // Mean bin number.
  float mean;
};

// The softmax of `size` logits, a multiple of kStep; `store` gets each vector of e^(x - max).
template <Instructions kIsa, typename Storer>
POMPC_INLINE Softmax SoftmaxOf(int64_t size, const float* row, const Storer& store) {
  // The maximum is subtracted so that no exponential overflows. Mean and sum are collected in one
  // pass: e^x / sum is needed for the gradient alone.
  WideFloats maxima = Load<WideFloats>(row);
  for (int64_t i = kStep; i < size; i += kStep)
    maxima = Max<kIsa>(Load<WideFloats>(row + i), maxima);
  const float max = MaxOf<kIsa>(maxima);
  WideFloats bins = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  WideFloats sum = {};
  WideFloats weighted = {};
  for (int64_t i = 0; i < size; i += kStep) {
    const WideFloats e = Exp<kIsa>(Load<WideFloats>(row + i) - max);
    store(i, e);
    sum += e;
    weighted += e * bins;
    bins += static_cast<float>(kStep);
  }
  const float total = Sum(sum);
  return {max, total, Sum(weighted) / total};
}

// Replaces logits by e^(x - max).
template <Instructions kIsa>
POMPC_INLINE Softmax SoftmaxOf(PaddedRow& row) {
  return SoftmaxOf<kIsa>(row.size, row.x,
                         [&](int64_t i, WideFloats e) POMPC_INLINE_LAMBDA { Store(row.x + i, e); });
}

float SymlogMean(const TwoHotBins& bins, const Softmax& softmax) {
  return static_cast<float>(bins.low + bins.width * softmax.mean);
}

struct TwoHot {
  int64_t bin;
  float offset;  // weight of bin + 1
};

// In double: a position near the last bin has too few bits left in float32 for its fraction.
TwoHot EncodeTarget(const TwoHotBins& bins, float target) {
  const double symlog = std::copysign(std::log1p(std::fabs(static_cast<double>(target))), target);
  const double position = (symlog - bins.low) / bins.width;
  const double last = static_cast<double>(bins.count - 1);
  const double clamped = position < 0 ? 0 : (position > last ? last : position);
  // A NaN target gives a NaN weight.
  int64_t bin = std::isnan(clamped) ? 0 : static_cast<int64_t>(clamped);
  if (bin > bins.count - 2) bin = bins.count - 2;
  return {bin, static_cast<float>(clamped - static_cast<double>(bin))};
}

template <Instructions kIsa>
POMPC_INLINE void TwoHotDecodeForwardHere(const TwoHotBins& bins, int64_t rows, const float* logits,
                                          float* values) {
  POMPC_DCHECK(bins.count >= 2 && bins.count <= kMaxBins);
  PaddedRow padded;
  for (int64_t row = 0; row < rows; ++row) {
    Pad(bins.count, logits + row * bins.count, padded);
    values[row] = SymlogMean(bins, SoftmaxOf<kIsa>(padded));
  }
  // A loop of its own, since it calls the mathematical library and the one above calls nothing.
  for (int64_t row = 0; row < rows; ++row)
    values[row] = std::copysign(std::expm1(std::fabs(values[row])), values[row]);
}

template <Instructions kIsa>
POMPC_INLINE void TwoHotDecodeRowsHere(const TwoHotBins& bins, int64_t rows,
                                       RowsOf<const float> logits, float* values) {
  POMPC_DCHECK(bins.count >= 2 && bins.count <= kMaxBins);
  for (int64_t row = 0; row < rows; ++row) {
    values[row] = SymlogMean(bins, SoftmaxOf<kIsa>(PaddedColumns(bins.count), logits.From(row).data,
                                                   [](int64_t, WideFloats) POMPC_INLINE_LAMBDA {}));
  }
  for (int64_t row = 0; row < rows; row += kStep) {
    const WideFloats x = Load<WideFloats>(values + row);
    const WideFloats size = Expm1<kIsa>(x < 0.0f ? -x : x);
    Store(values + row, x < 0.0f ? -size : size);
  }
}

template <Instructions kIsa>
POMPC_INLINE void TwoHotDecodeBackwardHere(const TwoHotBins& bins, int64_t rows,
                                           const float* logits, const float* values_gradient,
                                           float* logits_gradient) {
  POMPC_DCHECK(bins.count >= 2 && bins.count <= kMaxBins);
  PaddedRow padded;
  for (int64_t row = 0; row < rows; ++row) {
    float* gradient = logits_gradient + row * bins.count;
    Pad(bins.count, logits + row * bins.count, padded);
    const Softmax softmax = SoftmaxOf<kIsa>(padded);
    const float symlog = SymlogMean(bins, softmax);
    // value = symexp(low + width m) with m = sum_k p_k k. So d value / d logit_k is
    // exp(|symlog|) width p_k (k - m).
    const float scale = values_gradient[row] * std::exp(std::fabs(symlog)) *
                        static_cast<float>(bins.width) / softmax.sum;
    for (int64_t k = 0; k < bins.count; ++k) {
      gradient[k] =
          scale * padded.x[k] * (static_cast<float>(static_cast<int32_t>(k)) - softmax.mean);
    }
  }
}

template <Instructions kIsa>
POMPC_INLINE double TwoHotCrossEntropyHere(const TwoHotBins& bins, int64_t members, int64_t rows,
                                           const float* logits, const float* targets,
                                           const float* weights, float* logits_gradient) {
  POMPC_DCHECK(bins.count >= 2 && bins.count <= kMaxBins);
  double total = 0;
  PaddedRow padded;
  for (int64_t row = 0; row < rows; ++row) {
    const TwoHot target = EncodeTarget(bins, targets[row]);
    const float weight = weights[row] / static_cast<float>(members);
    for (int64_t member = 0; member < members; ++member) {
      const int64_t offset = (member * rows + row) * bins.count;
      const float* x = logits + offset;
      float* gradient = logits_gradient + offset;
      Pad(bins.count, x, padded);
      const Softmax softmax = SoftmaxOf<kIsa>(padded);
      const float log_sum = softmax.max + std::log(softmax.sum);
      total += weight *
               (log_sum - (1 - target.offset) * x[target.bin] - target.offset * x[target.bin + 1]);
      const float scale = weight / softmax.sum;
      // The gradient of a cross-entropy is softmax minus target; the target has two bins.
      for (int64_t k = 0; k < bins.count; ++k) gradient[k] = scale * padded.x[k];
      gradient[target.bin] -= weight * (1 - target.offset);
      gradient[target.bin + 1] -= weight * target.offset;
    }
  }
  return total;
}

}  // namespace

void TwoHotDecodeForward(const TwoHotBins& bins, int64_t rows, const float* logits, float* values) {
  CallBest([&](auto isa)
               POMPC_INLINE_LAMBDA { TwoHotDecodeForwardHere<isa>(bins, rows, logits, values); });
}

void TwoHotDecodeRows(const TwoHotBins& bins, int64_t rows, RowsOf<const float> logits,
                      float* values) {
  CallBest([&](auto isa)
               POMPC_INLINE_LAMBDA { TwoHotDecodeRowsHere<isa>(bins, rows, logits, values); });
}

void TwoHotDecodeBackward(const TwoHotBins& bins, int64_t rows, const float* logits,
                          const float* values_gradient, float* logits_gradient) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
    TwoHotDecodeBackwardHere<isa>(bins, rows, logits, values_gradient, logits_gradient);
  });
}

double TwoHotCrossEntropy(const TwoHotBins& bins, int64_t members, int64_t rows,
                          const float* logits, const float* targets, const float* weights,
                          float* logits_gradient) {
  return CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
    return TwoHotCrossEntropyHere<isa>(bins, members, rows, logits, targets, weights,
                                       logits_gradient);
  });
}

}  // namespace pompc::model::kernels
