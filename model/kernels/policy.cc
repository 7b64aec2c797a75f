#include "model/kernels/policy.h"

#include <algorithm>

#include "model/kernels/vector_math.h"

namespace pompc::model::kernels {
namespace {

constexpr int64_t kChunk = 256;

// Numbers of actions of one chunk, row after row: an action alone has too few to fill a vector.
struct Chunk {
  float mean[kChunk];
  float log_std[kChunk];
  float noise[kChunk];
};

template <Instructions kIsa>
POMPC_INLINE void Draw(const PolicyForm& form, int64_t count, Chunk& chunk) {
  const float half = 0.5f * (form.log_std_max - form.log_std_min);
  for (int64_t i = 0; i < count; i += kLanes<WideFloats>) {
    WideFloats mean = Load<WideFloats>(chunk.mean + i);
    if (!form.squashed) mean = Tanh<kIsa>(mean);
    const WideFloats log_std =
        Tanh<kIsa>(Load<WideFloats>(chunk.log_std + i)) * half + (form.log_std_min + half);
    const WideFloats drawn = mean + Exp<kIsa>(log_std) * Load<WideFloats>(chunk.noise + i);
    // A NaN stays one.
    Store(chunk.mean + i,
          form.squashed ? Tanh<kIsa>(drawn)
                        : Max<kIsa>(WideFloats{} - 1.0f, Min<kIsa>(WideFloats{} + 1.0f, drawn)));
  }
}

template <Instructions kIsa>
POMPC_INLINE void PolicyActionsHere(const PolicyForm& form, int64_t rows,
                                    RowsOf<const float> outputs, RowsOf<const float> noise,
                                    RowsOf<float> actions) {
  Chunk chunk = {};
  const int64_t width = form.actions;
  const int64_t total = rows * width;
  for (int64_t begin = 0; begin < total; begin += kChunk) {
    const int64_t count = std::min(kChunk, total - begin);
    const int64_t first_row = begin / width;
    const int64_t first = begin % width;
    // The same walk over rows and numbers, before and after.
    const auto walk = [&](const auto& visit) POMPC_INLINE_LAMBDA {
      for (int64_t i = 0, row = first_row, a = first; i < count; ++i) {
        visit(i, row, a);
        if (++a == width) {
          a = 0;
          ++row;
        }
      }
    };
    walk([&](int64_t i, int64_t row, int64_t a) POMPC_INLINE_LAMBDA {
      chunk.mean[i] = outputs.From(row).data[a];
      chunk.log_std[i] = outputs.From(row).data[width + a];
      chunk.noise[i] = noise.From(row).data[a];
    });
    Draw<kIsa>(form, count, chunk);
    walk([&](int64_t i, int64_t row, int64_t a)
             POMPC_INLINE_LAMBDA { actions.From(row).data[a] = chunk.mean[i]; });
  }
}

}  // namespace

void PolicyActions(const PolicyForm& form, int64_t rows, RowsOf<const float> outputs,
                   RowsOf<const float> noise, RowsOf<float> actions) {
  CallBest([&](auto isa) POMPC_INLINE_LAMBDA {
    PolicyActionsHere<isa>(form, rows, outputs, noise, actions);
  });
}

}  // namespace pompc::model::kernels
