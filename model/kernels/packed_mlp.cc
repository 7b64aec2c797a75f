#include "model/kernels/packed_mlp.h"

#include <algorithm>

#include "common/base/check.h"
#include "model/kernels/norm.h"

namespace pompc::model::kernels {
namespace {

std::vector<float> Copy(const float* from, int64_t member, int64_t size) {
  if (from == nullptr) return {};
  return {from + member * size, from + (member + 1) * size};
}

template <typename Number>
RowsOf<const Number> ReadOnly(RowsOf<Number> rows) {
  return {rows.data, rows.stride};
}

}  // namespace

template <typename Number>
PackedMlp<Number>::PackedMlp(const MlpLayers& layers, int64_t member, int64_t prefix_width,
                             float last_padding) {
  for (const MlpLayer& from : layers) {
    const LayerTensors<const float>& p = from.parameters;
    const float* const weight = p.weight + member * from.in * from.out;
    Layer layer;
    layer.weights = Matrix(from.in, from.out, weight);
    layer.bias = Copy(p.bias, member, from.out);
    layer.bias.resize(static_cast<size_t>(PaddedColumns(from.out)), last_padding);
    layer.norm_weight = Copy(p.norm_weight, member, from.out);
    layer.shift = Copy(p.norm_bias, member, from.out);
    layer.simnorm = from.simnorm;
    if (layers_.empty() && prefix_width > 0) {
      POMPC_CHECK(prefix_width < from.in);
      after_prefix_ = Matrix(from.in - prefix_width, from.out, weight + prefix_width * from.out);
    }
    layers_.push_back(std::move(layer));
  }
  POMPC_CHECK(!layers_.empty());
}

template <typename Number>
void PackedMlp<Number>::StartOf(RowsOf<const Number> prefix, float* start) const {
  const First first = Whole();
  MultiplyPacked(*first.weights, 1, prefix, first.start, {start, start_size()});
}

template <typename Number>
void PackedMlp<Number>::Norm(const Layer& layer, int64_t rows, RowsOf<const float> sums,
                             RowsOf<Number> out) const {
  NormInfer({layer.weights.out(), layer.simnorm, layer.norm_weight.data(), layer.shift.data()},
            rows, sums, out);
}

template <typename Number>
void PackedMlp<Number>::Run(int64_t rows, const First& first, RowsOf<const Number> x,
                            const MlpScratch<Number>& scratch) const {
  MultiplyPacked(*first.weights, rows, x, first.start, scratch.sums);
  for (size_t i = 1; i < layers_.size(); ++i) {
    Norm(layers_[i - 1], rows, ReadOnly(scratch.sums), scratch.hidden);
    MultiplyPacked(layers_[i].weights, rows, ReadOnly(scratch.hidden), layers_[i].bias.data(),
                   scratch.sums);
  }
}

template <typename Number>
RowsOf<const float> PackedMlp<Number>::Outputs(int64_t rows, const First& first,
                                               RowsOf<const Number> x,
                                               const MlpScratch<Number>& scratch) const {
  POMPC_DCHECK(layers_.back().norm_weight.empty());
  Run(rows, first, x, scratch);
  return ReadOnly(scratch.sums);
}

template <typename Number>
void PackedMlp<Number>::NormedOutputs(int64_t rows, const First& first, RowsOf<const Number> x,
                                      const MlpScratch<Number>& scratch, RowsOf<Number> out) const {
  POMPC_DCHECK(!layers_.back().norm_weight.empty());
  Run(rows, first, x, scratch);
  Norm(layers_.back(), rows, ReadOnly(scratch.sums), out);
}

template <typename Number>
int64_t PackedMlp<Number>::widest_sums() const {
  int64_t widest = 0;
  for (const Layer& layer : layers_) widest = std::max(widest, PaddedColumns(layer.weights.out()));
  return widest;
}

template <typename Number>
int64_t PackedMlp<Number>::widest_hidden() const {
  int64_t widest = 0;
  for (size_t i = 1; i < layers_.size(); ++i) widest = std::max(widest, layers_[i].weights.in());
  return (widest + kBfloat16Multiple - 1) / kBfloat16Multiple * kBfloat16Multiple;
}

template class PackedMlp<float>;
template class PackedMlp<Bfloat16>;

}  // namespace pompc::model::kernels
