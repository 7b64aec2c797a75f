#include "model/kernels/norm.h"

#include <cstdint>
#include <type_traits>

#include "common/base/check.h"
#include "model/kernels/gemm_bfloat16.h"
#include "model/kernels/vector_math.h"

namespace pompc::model::kernels {
namespace {

// The one of PyTorch's LayerNorm.
constexpr float kEpsilon = 1e-5f;

// Rows are worked on in blocks, pass by pass: the sums of one row then hide behind the work on the
// others.
constexpr int kBlock = 4;

// Rows of this width are worked on in wide vectors.
POMPC_INLINE bool IsWide(int64_t width) { return width % kLanes<WideFloats> == 0; }

// The factor that normalises a row with this mean.
template <typename Vector>
POMPC_INLINE float FactorOf(int64_t width, const float* row, float mean) {
  const float variance = SumOver<Vector>(width,
                                         [&](int64_t i) POMPC_INLINE_LAMBDA {
                                           const Vector d = Load<Vector>(row + i) - mean;
                                           return d * d;
                                         }) /
                         static_cast<float>(width);
  return 1.0f / __builtin_sqrtf(variance + kEpsilon);
}

// Adds the bias and applies dropout to `count` <= kBlock rows, in place; returns their means and
// the factors that normalise them.
template <typename Vector>
POMPC_INLINE void MeasureRows(int64_t count, int64_t width, const float* bias, const float* dropout,
                              float* y, float* means, float* factors) {
  for (int64_t r = 0; r < count; ++r) {
    float* row = y + r * width;
    const float* mask = dropout == nullptr ? nullptr : dropout + r * width;
    means[r] = SumOver<Vector>(width,
                               [&](int64_t i) POMPC_INLINE_LAMBDA {
                                 Vector x = Load<Vector>(row + i) + Load<Vector>(bias + i);
                                 if (mask != nullptr) x *= Load<Vector>(mask + i);
                                 Store(row + i, x);
                                 return x;
                               }) /
               static_cast<float>(width);
  }
  for (int64_t r = 0; r < count; ++r) factors[r] = FactorOf<Vector>(width, y + r * width, means[r]);
}

// One row between the sums and the activation. Each number is read once: it is normalised, stored
// if a backward pass needs it, scaled and shifted in registers.
struct NormRow {
  int64_t width;
  float mean, factor;
  const float* weight;
  const float* shift;
  const float* y;
  float* normalized;  // nullptr: not wanted

  template <typename Vector>
  POMPC_INLINE Vector Scaled(int64_t i) const {
    const Vector x = (Load<Vector>(y + i) - mean) * factor;
    if (normalized != nullptr) Store(normalized + i, x);
    return x * Load<Vector>(weight + i) + Load<Vector>(shift + i);
  }
};

template <Instructions kIsa, typename Vector>
POMPC_INLINE void MishRow(const NormRow& row, float* out) {
  for (int64_t i = 0; i < row.width; i += kLanes<Vector>) {
    Store(out + i, Mish<kIsa>(row.Scaled<Vector>(i)));
  }
}

// Softmax over groups of kWidth. In three passes, so that the long chain of operations on one group
// overlaps with the others'.
template <Instructions kIsa>
POMPC_INLINE void SimNormRow(const NormRow& row, float* out) {
  const int64_t width = row.width;
  for (int64_t i = 0; i < width; i += kWidth) {
    const Floats scaled = row.Scaled<Floats>(i);
    Store(out + i, scaled - MaxAcross<kIsa>(scaled));
  }
  for (int64_t i = 0; i < width; i += kWidth) Store(out + i, Exp<kIsa>(Load(out + i)));
  for (int64_t i = 0; i < width; i += kWidth) {
    const Floats e = Load(out + i);
    Store(out + i, e / SumAcross(e));
  }
}

// The softmax's Jacobian applied to a gradient, group by group.
POMPC_INLINE Floats SimNormBackward(Floats output, Floats gradient) {
  return output * (gradient - SumAcross(output * gradient));
}

// What the backward pass of some rows of one member reads and writes.
struct BackwardRows {
  const float* weight;
  const float* shift;
  const float* normalized;
  const float* output;
  const float* output_gradient;
  const float* dropout;
  const float* inverse_std;
  // Sums over rows, or nullptr.
  float* bias_sum;
  float* weight_sum;
  float* shift_sum;
  float* gradient;
};

// `kRows` rows side by side, so that sums over rows are written once for all of them. With
// x = (y - mean) / std and g = dL/dx, the gradient of LayerNorm's input is
// (g - mean(g) - x mean(g x)) / std (Ba et al., "Layer normalization", 2016): the first pass over
// the columns makes g and the two means, the second one the gradient.
template <Instructions kIsa, typename Vector, bool kSimNorm, int kRows>
POMPC_INLINE void BackwardBlock(int64_t width, const BackwardRows& rows) {
  Vector gradient_sums[kRows] = {};
  Vector product_sums[kRows] = {};
  for (int64_t i = 0; i < width; i += kLanes<Vector>) {
    const Vector w = Load<Vector>(rows.weight + i);
    Vector weight_sum = {};
    Vector shift_sum = {};
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = r * width + i;
      const Vector x = Load<Vector>(rows.normalized + at);
      const Vector upstream = Load<Vector>(rows.output_gradient + at);
      Vector g;
      if constexpr (kSimNorm) {
        g = SimNormBackward(Load(rows.output + at), upstream);
      } else {
        g = upstream * MishDerivative<kIsa>(x * w + Load<Vector>(rows.shift + i));
      }
      weight_sum += g * x;
      shift_sum += g;
      Store(rows.gradient + at, g * w);
      gradient_sums[r] += g * w;
      product_sums[r] += g * w * x;
    }
    if (rows.bias_sum != nullptr) {
      Store(rows.weight_sum + i, Load<Vector>(rows.weight_sum + i) + weight_sum);
      Store(rows.shift_sum + i, Load<Vector>(rows.shift_sum + i) + shift_sum);
    }
  }
  const float share = 1.0f / static_cast<float>(width);
  float gradient_means[kRows], product_means[kRows];
  for (int r = 0; r < kRows; ++r) {
    gradient_means[r] = Sum(gradient_sums[r]) * share;
    product_means[r] = Sum(product_sums[r]) * share;
  }
  for (int64_t i = 0; i < width; i += kLanes<Vector>) {
    Vector bias_sum = {};
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = r * width + i;
      Vector g = Load<Vector>(rows.gradient + at) - gradient_means[r] -
                 Load<Vector>(rows.normalized + at) * product_means[r];
      g *= rows.inverse_std[r];
      if (rows.dropout != nullptr) g *= Load<Vector>(rows.dropout + at);
      Store(rows.gradient + at, g);
      bias_sum += g;
    }
    if (rows.bias_sum != nullptr)
      Store(rows.bias_sum + i, Load<Vector>(rows.bias_sum + i) + bias_sum);
  }
}

template <Instructions kIsa, int kRows>
POMPC_INLINE void BackwardBlock(bool simnorm, int64_t width, const BackwardRows& rows) {
  if (simnorm) {
    BackwardBlock<kIsa, Floats, true, kRows>(width, rows);
  } else if (IsWide(width)) {
    BackwardBlock<kIsa, WideFloats, false, kRows>(width, rows);
  } else {
    BackwardBlock<kIsa, Floats, false, kRows>(width, rows);
  }
}

template <Instructions kIsa>
POMPC_INLINE void NormForwardHere(const NormShape& shape, const NormParameters& parameters,
                                  float* y, float* inverse_std, float* output) {
  const int64_t width = shape.width;
  POMPC_DCHECK(width > 0 && width % kNormMultiple == 0);
  for (int64_t member = 0; member < shape.members; ++member) {
    const float* weight = parameters.weight + member * width;
    const float* shift = parameters.shift + member * width;
    const int64_t end = (member + 1) * shape.rows;
    for (int64_t row = member * shape.rows; row < end; row += kBlock) {
      const int64_t count = end - row < kBlock ? end - row : kBlock;
      const float* dropout =
          parameters.dropout == nullptr ? nullptr : parameters.dropout + row * width;
      float means[kBlock], factors[kBlock];
      const float* bias = parameters.bias + member * width;
      if (IsWide(width)) {
        MeasureRows<WideFloats>(count, width, bias, dropout, y + row * width, means, factors);
      } else {
        MeasureRows<Floats>(count, width, bias, dropout, y + row * width, means, factors);
      }
      for (int64_t r = row; r < row + count; ++r) {
        if (inverse_std != nullptr) inverse_std[r] = factors[r - row];
        float* const at = y + r * width;
        const NormRow normed = {width,
                                means[r - row],
                                factors[r - row],
                                weight,
                                shift,
                                at,
                                inverse_std == nullptr ? nullptr : at};
        float* const out = output + r * width;
        if (shape.simnorm) {
          SimNormRow<kIsa>(normed, out);
        } else if (IsWide(width)) {
          MishRow<kIsa, WideFloats>(normed, out);
        } else {
          MishRow<kIsa, Floats>(normed, out);
        }
      }
    }
  }
}

template <Instructions kIsa>
POMPC_INLINE void NormBackwardHere(const NormShape& shape, const NormParameters& parameters,
                                   const float* normalized, const float* inverse_std,
                                   const float* output, const float* output_gradient,
                                   const NormGradients& gradients) {
  const int64_t width = shape.width;
  const bool sums = gradients.bias != nullptr;
  POMPC_DCHECK(width > 0 && width % kNormMultiple == 0);
  POMPC_DCHECK(sums == (gradients.weight != nullptr) && sums == (gradients.shift != nullptr));
  POMPC_DCHECK(!shape.simnorm || output != nullptr);
  for (int64_t member = 0; member < shape.members; ++member) {
    const int64_t column = member * width;
    const int64_t end = (member + 1) * shape.rows;
    for (int64_t row = member * shape.rows; row < end;) {
      const int64_t at = row * width;
      BackwardRows rows;
      rows.weight = parameters.weight + column;
      rows.shift = parameters.shift + column;
      rows.normalized = normalized + at;
      rows.output = shape.simnorm ? output + at : nullptr;
      rows.output_gradient = output_gradient + at;
      rows.dropout = parameters.dropout == nullptr ? nullptr : parameters.dropout + at;
      rows.inverse_std = inverse_std + row;
      rows.bias_sum = sums ? gradients.bias + column : nullptr;
      rows.weight_sum = sums ? gradients.weight + column : nullptr;
      rows.shift_sum = sums ? gradients.shift + column : nullptr;
      rows.gradient = gradients.y + at;
      // Whole blocks, then single rows: the number of rows is a constant of the compiled loop.
      if (end - row >= kBlock) {
        BackwardBlock<kIsa, kBlock>(shape.simnorm, width, rows);
        row += kBlock;
      } else {
        BackwardBlock<kIsa, 1>(shape.simnorm, width, rows);
        row += 1;
      }
    }
  }
}

// Softmax over groups of kNormMultiple, two groups at a time.
template <Instructions kIsa, Precision kPrecision>
POMPC_INLINE WideFloats SimNormOf(WideFloats x) {
  const auto each = [&](const auto& combine) POMPC_INLINE_LAMBDA {
    WideFloats y = x;
    y = combine(
        y, __builtin_shufflevector(y, y, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    y = combine(
        y, __builtin_shufflevector(y, y, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    return combine(
        y, __builtin_shufflevector(y, y, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  };
  x -= each([](WideFloats a, WideFloats b) POMPC_INLINE_LAMBDA { return Max<kIsa>(a, b); });
  x = Exp<kIsa, kPrecision>(x);
  return Divide<kIsa, kPrecision>(
      x, each([](WideFloats a, WideFloats b) POMPC_INLINE_LAMBDA { return a + b; }));
}
template <Instructions kIsa, Precision kPrecision>
POMPC_INLINE Floats SimNormOf(Floats x) {
  const Floats e = Exp<kIsa, kPrecision>(x - MaxAcross<kIsa>(x));
  return Divide<kIsa, kPrecision>(e, SumAcross(e));
}

template <Instructions kIsa, typename Vector, typename Number>
POMPC_INLINE void InferRow(const NormLayer& layer, const NormRow& row, Number* output) {
  constexpr Precision kPrecision =
      std::is_same_v<Number, float> ? Precision::kFloat32 : Precision::kBfloat16;
  if (layer.simnorm) {
    for (int64_t i = 0; i < row.width; i += kLanes<Vector>)
      StoreNumbers<kIsa>(output + i, SimNormOf<kIsa, kPrecision>(row.Scaled<Vector>(i)));
  } else {
    for (int64_t i = 0; i < row.width; i += kLanes<Vector>)
      StoreNumbers<kIsa>(output + i, Mish<kIsa, kPrecision>(row.Scaled<Vector>(i)));
  }
}

template <Instructions kIsa, typename Vector, typename Number>
POMPC_INLINE void InferRows(const NormLayer& layer, int64_t count, RowsOf<const float> y,
                            RowsOf<Number> output) {
  const int64_t width = layer.width;
  float means[kBlock], factors[kBlock];
  for (int64_t r = 0; r < count; ++r) {
    const float* const row = y.From(r).data;
    means[r] = SumOver<Vector>(
                   width, [&](int64_t i) POMPC_INLINE_LAMBDA { return Load<Vector>(row + i); }) /
               static_cast<float>(width);
  }
  for (int64_t r = 0; r < count; ++r)
    factors[r] = FactorOf<Vector>(width, y.From(r).data, means[r]);
  for (int64_t r = 0; r < count; ++r) {
    InferRow<kIsa, Vector>(
        layer, {width, means[r], factors[r], layer.weight, layer.shift, y.From(r).data, nullptr},
        output.From(r).data);
  }
}

template <Instructions kIsa, typename Number>
POMPC_INLINE void NormInferHere(const NormLayer& layer, int64_t rows, RowsOf<const float> y,
                                RowsOf<Number> output) {
  POMPC_DCHECK(layer.width > 0 && layer.width % kNormMultiple == 0);
  for (int64_t row = 0; row < rows; row += kBlock) {
    const int64_t count = rows - row < kBlock ? rows - row : kBlock;
    if (IsWide(layer.width)) {
      InferRows<kIsa, WideFloats>(layer, count, y.From(row), output.From(row));
    } else {
      InferRows<kIsa, Floats>(layer, count, y.From(row), output.From(row));
    }
  }
}

}  // namespace

void NormForward(const NormShape& shape, const NormParameters& parameters, float* y,
                 float* inverse_std, float* output) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
    NormForwardHere<isa>(shape, parameters, y, inverse_std, output);
  });
}

template <>
void NormInfer<float>(const NormLayer& layer, int64_t rows, RowsOf<const float> y,
                      RowsOf<float> output) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA { NormInferHere<isa>(layer, rows, y, output); });
}

template <>
void NormInfer<Bfloat16>(const NormLayer& layer, int64_t rows, RowsOf<const float> y,
                         RowsOf<Bfloat16> output) {
  CallBfloat16([&](auto isa) POMPC_INLINE_LAMBDA { NormInferHere<isa>(layer, rows, y, output); });
}

void NormBackward(const NormShape& shape, const NormParameters& parameters, const float* normalized,
                  const float* inverse_std, const float* output, const float* output_gradient,
                  const NormGradients& gradients) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
    NormBackwardHere<isa>(shape, parameters, normalized, inverse_std, output, output_gradient,
                          gradients);
  });
}

}  // namespace pompc::model::kernels
