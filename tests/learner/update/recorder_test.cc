#include "learner/update/recorder.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/values/not_finite.h"
#include "model/ops.h"
#include "tests/learner/update/family.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

TEST(RecorderTest, WhatIsLoadedStaysWhereItWas) {
  Recorder recorder(at::kCPU);
  const std::vector<at::Tensor> first = {model::Draw(1, {3, 5}), at::Tensor(),
                                         at::tensor({7, 8}, at::kLong), at::ones({3}, at::kByte)};
  const std::vector<at::Tensor> loaded = recorder.Load(first);
  ASSERT_EQ(loaded.size(), 4u);
  EXPECT_FALSE(loaded[1].defined());
  for (const size_t i : {0, 2, 3}) {
    EXPECT_TRUE(loaded[i].equal(first[i])) << i;
    EXPECT_EQ(loaded[i].scalar_type(), first[i].scalar_type());
    EXPECT_NE(loaded[i].data_ptr(), first[i].data_ptr());
  }
  const std::vector<at::Tensor> second = {model::Draw(2, {3, 5}), at::Tensor(),
                                          at::tensor({9, 10}, at::kLong),
                                          at::zeros({3}, at::kByte)};
  const std::vector<at::Tensor> again = recorder.Load(second);
  for (const size_t i : {0, 2, 3}) {
    EXPECT_EQ(again[i].data_ptr(), loaded[i].data_ptr()) << i;
    EXPECT_TRUE(loaded[i].equal(second[i])) << i;
  }
}

TEST(RecorderTest, OtherShapesAndDtypesAreLoadedAsWell) {
  Recorder recorder(at::kCPU);
  recorder.Load({model::Draw(1, {3, 5})});
  EXPECT_TRUE(recorder.Load({model::Draw(1, {4, 5})})[0].equal(model::Draw(1, {4, 5})));
  const at::Tensor wide = model::Draw(1, {4, 5}, at::kDouble);
  EXPECT_TRUE(recorder.Load({wide})[0].equal(wide));
  // Not dense in memory.
  EXPECT_TRUE(recorder.Load({wide.t()})[0].equal(wide.t()));
}

// Steps `a` directly and `b` through a recorder on the same batches, which have plans or none, and
// with metrics or without.
void ExpectSameUpdates(Updater& a, Updater& b, const proto::RunConfig& config) {
  for (uint64_t i = 0; i < 8; ++i) {
    Batch batch = MakeBatch(config, i, i < 6 ? 6 : 4);
    if (i == 0 || i == 3) batch.has_plan.zero_();
    batch.terminated[1][1] = 1;
    const bool wanted = i % 2 == 1;
    const auto expected = a.Step(batch, wanted);
    const auto metrics = b.Step(batch, wanted);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(metrics.ok()) << metrics.status();
    const auto names = expected->Named();
    for (size_t k = 0; k < names.size(); ++k) EXPECT_EQ(metrics->Named()[k], names[k]) << i;
  }
  const UpdaterState expected = a.Export();
  const UpdaterState state = b.Export();
  EXPECT_EQ(state.metadata, expected.metadata);
  ASSERT_EQ(state.tensors.size(), expected.tensors.size());
  for (size_t i = 0; i < state.tensors.size(); ++i) {
    EXPECT_TRUE(state.tensors[i].tensor.equal(expected.tensors[i].tensor)) << state.tensors[i].name;
  }
}

class RecordedFamilyTest : public ::testing::TestWithParam<FamilyMember> {};

TEST_P(RecordedFamilyTest, UpdatesAreTheSameWithARecorder) {
  const auto& [name, config] = GetParam();
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<Recorder>(at::kCPU));
  ExpectSameUpdates(*a, *b, config);
}

TEST(RecorderTest, WeightedUpdatesAndTheirPrioritiesAreTheSameWithARecorder) {
  const proto::RunConfig config = model::SmallConfig();
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<Recorder>(at::kCPU));
  for (uint64_t i = 0; i < 4; ++i) {
    Batch batch = MakeBatch(config, i);
    batch.importance = model::Draw(i + 9, {6}).abs() + 0.1;
    const bool wanted = i % 2 == 1;
    const auto expected = a->Step(batch, wanted);
    const auto metrics = b->Step(batch, wanted);
    ASSERT_TRUE(expected.ok() && metrics.ok());
    EXPECT_EQ(metrics->total_loss, expected->total_loss);
  }
  const std::vector<at::Tensor> expected = a->TakePriorities();
  const std::vector<at::Tensor> priorities = b->TakePriorities();
  ASSERT_EQ(expected.size(), 4u);
  ASSERT_EQ(priorities.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(priorities[i].equal(expected[i])) << i;
  EXPECT_FALSE(expected[0].equal(expected[1]));
  EXPECT_TRUE(a->TakePriorities().empty());
  EXPECT_TRUE(a->model().flat().equal(b->model().flat()));
}

// What other devices compute: ATen's operations alone.
TEST_P(RecordedFamilyTest, UpdatesOutOfAtenOperationsAreTheSameWithARecorder) {
  const auto& [name, config] = GetParam();
  const model::ReferenceScope scope;
  const auto a = MakeUpdater(config, 3);
  const auto b = MakeUpdater(config, 3);
  b->SetRecorder(std::make_unique<Recorder>(at::kCPU));
  ExpectSameUpdates(*a, *b, config);
}

// The operations of the current thread, each with its numbers and the shapes of its tensors.
class Trace {
 public:
  Trace() {
    lines_.clear();
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Trace::Add)
                                             .needsInputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Trace() { at::removeCallback(handle_); }
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  static const std::vector<std::string>& lines() { return lines_; }

 private:
  static void Describe(const c10::IValue& value, std::ostream& out) {
    if (value.isTensor()) {
      const at::Tensor& tensor = value.toTensor();
      if (!tensor.defined()) {
        out << "none";
      } else if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
        // A number of the host: it goes along with the operation.
        out << tensor.item<double>();
      } else {
        out << tensor.device() << tensor.sizes() << tensor.scalar_type();
      }
    } else if (value.isList()) {
      for (const c10::IValue& element : value.toListRef()) Describe(element, out << '[');
    } else {
      out << value;
    }
    out << ' ';
  }

  static std::unique_ptr<at::ObserverContext> Add(const at::RecordFunction& function) {
    if (describing_) return nullptr;
    describing_ = true;
    std::ostringstream line;
    line << function.name() << ' ';
    for (const c10::IValue& input : function.inputs()) Describe(input, line);
    lines_.push_back(line.str());
    describing_ = false;
    return nullptr;
  }

  static thread_local std::vector<std::string> lines_;
  static thread_local bool describing_;
  at::CallbackHandle handle_;
};
thread_local std::vector<std::string> Trace::lines_;
thread_local bool Trace::describing_ = false;

// A recorder that holds programs to their word.
class StrictRecorder : public Recorder {
 public:
  using Recorder::Recorder;

  at::Tensor Run(int variant, absl::FunctionRef<at::Tensor()> program) override {
    at::Tensor result;
    std::vector<std::string> lines;
    {
      const Trace trace;
      result = program();
      lines = Trace::lines();
    }
    EXPECT_GT(lines.size(), 100u);
    for (const std::string& line : lines) {
      for (const char* waiting : {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero",
                                  "aten::nonzero", "aten::masked_select", "aten::equal"}) {
        EXPECT_NE(line.substr(0, line.find(' ')), waiting) << line;
      }
    }
    const auto [recorded, fresh] = traces_.emplace(variant, lines);
    if (fresh) return result;
    ++replays_;
    EXPECT_EQ(recorded->second.size(), lines.size());
    for (size_t i = 0; i < lines.size() && i < recorded->second.size(); ++i) {
      EXPECT_EQ(recorded->second[i], lines[i]) << "operation " << i << " of variant " << variant;
    }
    return result;
  }

 private:
  std::map<int, std::vector<std::string>> traces_;
};

// What a recording relies on, and what no device is needed to see: an operation that reads a
// number back, or a number of the host that changes from update to update.
TEST_P(RecordedFamilyTest, EveryUpdateOfAVariantIsTheSameOperationsAndNoneWaits) {
  const auto& [name, config] = GetParam();
  const model::ReferenceScope scope;
  const auto updater = MakeUpdater(config, 3);
  auto own = std::make_unique<StrictRecorder>(at::kCPU);
  const StrictRecorder& recorder = *own;
  updater->SetRecorder(std::move(own));
  for (uint64_t i = 0; i < 12; ++i) {
    Batch batch = MakeBatch(config, i);
    if (i < 4) batch.has_plan.zero_();
    ASSERT_TRUE(updater->Step(batch, i % 4 == 1).ok());
  }
  EXPECT_GE(recorder.replays(), 5);
}

INSTANTIATE_TEST_SUITE_P(Family, RecordedFamilyTest, ::testing::ValuesIn(Family()),
                         [](const auto& info) { return info.param.name; });

TEST(RecordedUpdateTest, NonFiniteGradientsAreFoundWhereMetricsAreWantedAndByKeep) {
  const proto::RunConfig config = model::SmallConfig();
  const auto updater = MakeUpdater(config);
  updater->SetRecorder(std::make_unique<Recorder>(at::kCPU));
  ASSERT_TRUE(updater->Step(MakeBatch(config, 1), false).ok());
  ASSERT_TRUE(updater->Keep().ok());
  const at::Tensor before = updater->model().flat().clone();
  Batch batch = MakeBatch(config, 2);
  batch.rewards[0][1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(updater->Step(batch, false).ok());
  EXPECT_EQ(NotFiniteName(updater->Keep()), "model");
  updater->GoBack();
  EXPECT_TRUE(updater->model().flat().equal(before));
  EXPECT_EQ(updater->update_count(), 1);
  const absl::Status status = updater->Step(batch, true).status();
  EXPECT_EQ(NotFiniteName(status), "model") << status;
  EXPECT_NE(status.message().find("in update 2"), std::string_view::npos) << status;
  updater->GoBack();
  EXPECT_TRUE(updater->Step(MakeBatch(config, 2), true).ok());
}

}  // namespace
}  // namespace pompc::update
