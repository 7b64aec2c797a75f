#include "planner/core/batcher.h"

#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::UnorderedElementsAre;

// The answer to one call, to be waited for.
class Answer {
 public:
  std::function<void(absl::StatusOr<PlanResult>)> Done() {
    return [this](absl::StatusOr<PlanResult> result) {
      MutexLock lock(&mu_);
      EXPECT_FALSE(result_.has_value()) << "answered twice";
      result_ = std::move(result);
      changed_.SignalAll();
    };
  }
  absl::StatusOr<PlanResult> Wait() {
    MutexLock lock(&mu_);
    while (!result_.has_value()) changed_.Wait(&mu_);
    return *result_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::optional<absl::StatusOr<PlanResult>> result_ ABSL_GUARDED_BY(mu_);
};

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() { run_->parameters().Put(FakeModel(1), absl::ZeroDuration()); }

  absl::StatusOr<uint64_t> Submit(Answer* answer, float value,
                                  absl::Duration deadline = absl::InfiniteDuration()) {
    return SubmitTo(batcher_, answer, value, deadline);
  }
  absl::StatusOr<uint64_t> SubmitTo(Batcher& batcher, Answer* answer, float value,
                                    absl::Duration deadline = absl::InfiniteDuration()) {
    PlanCall call;
    call.item = FakeItem(value);
    call.deadline = deadline;
    call.done = answer->Done();
    return batcher.Submit(run_, {call});
  }

  static PlanCall Call() {
    PlanCall call;
    call.item = FakeItem();
    return call;
  }

  FakeClock clock_;
  const std::shared_ptr<PlannerRun> run_ = FakeRun("run", &clock_);
  FakeBackend backend_;
  Batcher batcher_{&backend_, {.clock = &clock_}};
};

TEST_F(BatcherTest, CallGetsItsOwnPlanAndTheVersionThatMadeIt) {
  Answer answer;
  ASSERT_TRUE(Submit(&answer, 0.25f).ok());
  const auto result = answer.Wait();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->plan.action, ElementsAre(0.25f, 0.25f));
  EXPECT_EQ(result->version, (ParameterVersion{1, 1}));
  EXPECT_EQ(result->batch_size, 1);
}

TEST_F(BatcherTest, WhatArrivesDuringABatchFormsTheNext) {
  backend_.Hold();
  std::vector<Answer> answers(4);
  ASSERT_TRUE(Submit(&answers[0], 0).ok());
  backend_.AwaitBatches(1);
  for (int i = 1; i < 4; ++i) ASSERT_TRUE(Submit(&answers[i], i / 4.0f).ok());
  clock_.Advance(absl::Milliseconds(3));
  backend_.Release();
  for (int i = 0; i < 4; ++i) {
    const auto result = answers[i].Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->plan.action[0], i / 4.0f);
    EXPECT_EQ(result->batch_size, i == 0 ? 1 : 3);
    EXPECT_EQ(result->queue_wait, i == 0 ? absl::ZeroDuration() : absl::Milliseconds(3));
  }
  EXPECT_THAT(backend_.batch_sizes(), ElementsAre(1, 3));
  EXPECT_EQ(run_->stats().plans, 4u);
  EXPECT_EQ(run_->stats().batches, 2u);
}

TEST_F(BatcherTest, SeveralThreadsShareWhatWaits) {
  FakeBackend backend(/*threads=*/2);
  Batcher batcher(&backend, {.clock = &clock_});
  ASSERT_EQ(batcher.threads(), 2);
  backend.Hold();
  std::vector<Answer> answers(4);
  std::vector<PlanCall> calls(4, Call());
  for (size_t i = 0; i < calls.size(); ++i) calls[i].done = answers[i].Done();
  ASSERT_TRUE(batcher.Submit(run_, std::move(calls)).ok());
  // Both are in the backend at once.
  backend.AwaitBatches(2);
  clock_.Advance(absl::Seconds(1));
  for (int thread : {0, 1}) {
    EXPECT_DOUBLE_EQ(batcher.timer(thread).Seconds()[static_cast<int>(BatcherState::kComputing)],
                     1);
  }
  backend.Release();
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  batcher.Close();
  EXPECT_THAT(backend.batch_sizes(), UnorderedElementsAre(2, 1, 1));
}

TEST_F(BatcherTest, WherePlansAreMadeOneByOneEachIsAnsweredWhenItIsMade) {
  FakeBackend backend(/*threads=*/1, /*one_by_one=*/true);
  Batcher batcher(&backend, {.clock = &clock_});
  backend.Hold();
  std::vector<Answer> answers(3);
  std::vector<PlanCall> calls(3, Call());
  for (size_t i = 0; i < calls.size(); ++i) calls[i].done = answers[i].Done();
  ASSERT_TRUE(batcher.Submit(run_, std::move(calls)).ok());
  for (size_t i = 0; i < answers.size(); ++i) {
    backend.AwaitBatches(i + 1);
    clock_.Advance(absl::Milliseconds(10));
    backend.ReleaseOne();
    const auto result = answers[i].Wait();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->batch_size, 1);
    EXPECT_EQ(result->compute, absl::Milliseconds(10)) << "its own time";
    EXPECT_EQ(result->queue_wait, absl::Milliseconds(10) * static_cast<int64_t>(i));
  }
}

TEST_F(BatcherTest, ParametersAreSwappedBetweenBatchesOnly) {
  backend_.Hold();
  std::vector<Answer> answers(3);
  ASSERT_TRUE(Submit(&answers[0], 0).ok());
  backend_.AwaitBatches(1);
  ASSERT_TRUE(Submit(&answers[1], 0).ok());
  run_->parameters().Put(FakeModel(2), absl::ZeroDuration());
  ASSERT_TRUE(Submit(&answers[2], 0).ok());
  backend_.Release();
  EXPECT_EQ(answers[0].Wait()->plan.plan_value, 1);
  EXPECT_EQ(answers[0].Wait()->version, (ParameterVersion{1, 1}));
  EXPECT_EQ(answers[1].Wait()->plan.plan_value, 2);
  EXPECT_EQ(answers[2].Wait()->plan.plan_value, 2);
  EXPECT_EQ(answers[2].Wait()->batch_size, 2);
}

TEST_F(BatcherTest, PinnedCallIsPlannedWithItsVersionThoughItIsSuperseded) {
  backend_.Hold();
  Answer first, pinned;
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  PlanCall call;
  call.item = FakeItem();
  call.pinned = run_->parameters().Find({1, 1});
  call.done = pinned.Done();
  ASSERT_TRUE(batcher_.Submit(run_, {call}).ok());
  run_->parameters().Put(FakeModel(2), absl::ZeroDuration());
  ASSERT_EQ(run_->parameters().Find({1, 1}), nullptr);
  backend_.Release();
  EXPECT_EQ(pinned.Wait()->version, (ParameterVersion{1, 1}));
}

TEST_F(BatcherTest, CallThatWaitedTooLongIsNotPlanned) {
  backend_.Hold();
  Answer first, late;
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  ASSERT_TRUE(Submit(&late, 0, clock_.Now() + absl::Seconds(1)).ok());
  clock_.Advance(absl::Seconds(1));
  backend_.Release();
  EXPECT_EQ(late.Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(backend_.batch_sizes(), ElementsAre(1));
  EXPECT_EQ(run_->stats().expired, 1u);
}

TEST_F(BatcherTest, SubmitIsUnavailableBeforeTheFirstParameters) {
  const auto id = batcher_.Submit(FakeRun("new", &clock_), {Call()});
  EXPECT_EQ(id.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("no parameters yet"));
}

TEST_F(BatcherTest, SubmitRefusesWhatCannotBePlanned) {
  PlanCall call;
  call.item = FakeItem();
  call.item.observation.pop_back();
  const absl::Status status = batcher_.Submit(run_, {Call(), call}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("queries[1]: observation has 2 numbers"));
  EXPECT_EQ(batcher_.queued(), 0u);
}

TEST_F(BatcherTest, FullQueueRefusesOneMore) {
  backend_.Hold();
  Answer first;
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  std::vector<Answer> answers(FakeSpec().max_queue);
  for (Answer& answer : answers) ASSERT_TRUE(Submit(&answer, 0).ok());
  Answer refused;
  EXPECT_EQ(Submit(&refused, 0).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(batcher_.queued(), answers.size());
  backend_.Release();
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  EXPECT_THAT(backend_.batch_sizes(), ElementsAre(1, 4, 4));
}

TEST_F(BatcherTest, CancelledCallIsAnsweredAndNotPlanned) {
  backend_.Hold();
  Answer first, cancelled;
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  const auto id = Submit(&cancelled, 0);
  ASSERT_TRUE(id.ok());
  batcher_.Cancel(*id, 1);
  EXPECT_EQ(cancelled.Wait().status().code(), absl::StatusCode::kCancelled);
  batcher_.Cancel(*id, 1);
  backend_.Release();
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_EQ(run_->stats().cancelled, 1u);
}

TEST_F(BatcherTest, CancelTakesTheCallsThatWereSubmittedTogether) {
  backend_.Hold();
  Answer first, third;
  std::vector<Answer> cancelled(2);
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  std::vector<PlanCall> calls(2, Call());
  for (size_t i = 0; i < calls.size(); ++i) calls[i].done = cancelled[i].Done();
  const auto id = batcher_.Submit(run_, calls);
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(Submit(&third, 0).ok());
  batcher_.Cancel(*id, 2);
  for (Answer& answer : cancelled) {
    EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kCancelled);
  }
  backend_.Release();
  EXPECT_TRUE(third.Wait().ok());
  EXPECT_EQ(run_->stats().cancelled, 2u);
}

TEST_F(BatcherTest, CancelOfAPlannedCallDoesNothing) {
  Answer answer;
  const auto id = Submit(&answer, 0);
  ASSERT_TRUE(answer.Wait().ok());
  batcher_.Cancel(*id, 1);
  EXPECT_EQ(run_->stats().cancelled, 0u);
}

TEST_F(BatcherTest, FailedBatchAnswersAllWithTheError) {
  backend_.FailWith(absl::InternalError("out of device memory"));
  Answer answer;
  ASSERT_TRUE(Submit(&answer, 0).ok());
  EXPECT_EQ(answer.Wait().status(), absl::InternalError("out of device memory"));
  EXPECT_EQ(run_->stats().failed, 1u);
  backend_.FailWith(absl::OkStatus());
  Answer next;
  ASSERT_TRUE(Submit(&next, 0).ok());
  EXPECT_TRUE(next.Wait().ok());
}

// Diverged parameters give plans that are none.
class SpoilingBackend : public FakeBackend {
 public:
  explicit SpoilingBackend(std::function<void(Plan&)> spoil) : spoil_(std::move(spoil)) {}
  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    auto plans = FakeBackend::PlanBatch(model, items);
    spoil_(plans->front());
    return plans;
  }

 private:
  const std::function<void(Plan&)> spoil_;
};

TEST_F(BatcherTest, PlanOutOfItsMeaningIsAnInternalErrorNamingTheVersion) {
  for (const auto& spoil : std::vector<std::function<void(Plan&)>>{
           [](Plan& plan) { plan.plan_mean[0] = NAN; },
           [](Plan& plan) { plan.plan_mean[1] = 1.5f; },
           [](Plan& plan) { plan.plan_std[0] = 1e-38f; },
           [](Plan& plan) { plan.warm_start[0] = -INFINITY; },
           [](Plan& plan) { plan.plan_value = 1e30f; },
           [](Plan& plan) { plan.action[0] = 2; }}) {
    SpoilingBackend backend(spoil);
    Batcher batcher(&backend, {.clock = &clock_});
    Answer answer;
    PlanCall call;
    call.item = FakeItem();
    call.done = answer.Done();
    ASSERT_TRUE(batcher.Submit(run_, {call}).ok());
    const absl::Status status = answer.Wait().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("parameters 1.1"));
  }
}

TEST_F(BatcherTest, CloseAnswersAllThatWaitAndFinishesTheRunningBatch) {
  backend_.Hold();
  Answer running, waiting;
  ASSERT_TRUE(Submit(&running, 0).ok());
  backend_.AwaitBatches(1);
  ASSERT_TRUE(Submit(&waiting, 0).ok());
  Thread closer("closer", [this] { batcher_.Close(); });
  EXPECT_EQ(waiting.Wait().status().code(), absl::StatusCode::kCancelled);
  backend_.Release();
  closer.Join();
  EXPECT_TRUE(running.Wait().ok());
  Answer refused;
  EXPECT_EQ(Submit(&refused, 0).status().code(), absl::StatusCode::kCancelled);
  batcher_.Close();
}

TEST_F(BatcherTest, DrainPlansAllThatWaitAndTakesNoMore) {
  backend_.Hold();
  std::vector<Answer> answers(6);
  for (Answer& answer : answers) ASSERT_TRUE(Submit(&answer, 0).ok());
  backend_.AwaitBatches(1);
  Thread drainer("drainer", [this] { EXPECT_TRUE(batcher_.Drain(absl::Seconds(10))); });
  // Beside the batcher's own thread, which is in the backend, this one waits on the clock.
  clock_.AwaitWaiters(1);
  Answer refused;
  EXPECT_EQ(Submit(&refused, 0).status().code(), absl::StatusCode::kCancelled);
  backend_.Release();
  drainer.Join();
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait().ok());
  EXPECT_TRUE(batcher_.Drain(absl::ZeroDuration())) << "nothing is left";
}

TEST_F(BatcherTest, DrainEndsAtItsTimeout) {
  backend_.Hold();
  Answer running, waiting;
  ASSERT_TRUE(Submit(&running, 0).ok());
  backend_.AwaitBatches(1);
  ASSERT_TRUE(Submit(&waiting, 0).ok());
  Thread drainer("drainer", [this] { EXPECT_FALSE(batcher_.Drain(absl::Seconds(10))); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(10));
  drainer.Join();
  Thread closer("closer", [this] { batcher_.Close(); });
  EXPECT_EQ(waiting.Wait().status().code(), absl::StatusCode::kCancelled);
  backend_.Release();
  closer.Join();
  EXPECT_TRUE(running.Wait().ok());
}

// Makes two iterations and notes when each plan should be there.
class HastyBackend : public FakeBackend {
 public:
  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    auto plans = FakeBackend::PlanBatch(model, items);
    for (size_t i = 0; i < items.size(); ++i) {
      finish_by.push_back(items[i]->finish_by);
      (*plans)[i].iterations = 2;
    }
    return plans;
  }

  std::vector<absl::Duration> finish_by;
};

TEST_F(BatcherTest, TheBudgetOfAPlanBeginsWhenItsRequestComes) {
  HastyBackend backend;
  Batcher batcher(&backend, {.clock = &clock_});
  const auto submit = [&](Answer* answer) { ASSERT_TRUE(SubmitTo(batcher, answer, 0).ok()); };
  Answer unlimited;
  submit(&unlimited);
  EXPECT_EQ(unlimited.Wait()->plan.iterations, 2);
  EXPECT_EQ(run_->stats().shortened, 0u) << "there is no budget";

  PlanSpec spec = FakeSpec();
  spec.iterations = 3;
  spec.budget = absl::Milliseconds(5);
  run_->parameters().Put(FakeModel(2, spec), absl::ZeroDuration());
  backend.Hold();
  Answer first, waits;
  submit(&first);
  backend.AwaitBatches(2);
  const absl::Duration submitted = clock_.Now();
  submit(&waits);
  clock_.Advance(absl::Milliseconds(3));
  backend.Release();
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_TRUE(waits.Wait().ok());
  batcher.Close();
  EXPECT_THAT(backend.finish_by,
              ElementsAre(absl::InfiniteDuration(), submitted + absl::Milliseconds(5),
                          submitted + absl::Milliseconds(5)));
  EXPECT_EQ(run_->stats().iterations, 6u);
  EXPECT_EQ(run_->stats().shortened, 2u);
}

TEST_F(BatcherTest, CallsThatAreRefusedAreCounted) {
  backend_.Hold();
  Answer first;
  ASSERT_TRUE(Submit(&first, 0).ok());
  backend_.AwaitBatches(1);
  std::vector<Answer> answers(FakeSpec().max_queue);
  for (Answer& answer : answers) ASSERT_TRUE(Submit(&answer, 0).ok());
  EXPECT_FALSE(batcher_.Submit(run_, {Call(), Call()}).ok());
  EXPECT_EQ(run_->stats().refused, 2u);
  EXPECT_EQ(batcher_.queued("run"), answers.size());
  EXPECT_EQ(batcher_.queued("other"), 0u);
  backend_.Release();
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait().ok());
}

TEST_F(BatcherTest, CloseWakesAnIdleBatcher) {
  clock_.AwaitWaiters(1);
  batcher_.Close();
}

TEST_F(BatcherTest, StatesSumToTheBatchersAge) {
  clock_.Advance(absl::Seconds(2));
  backend_.Hold();
  Answer answer;
  ASSERT_TRUE(Submit(&answer, 0).ok());
  backend_.AwaitBatches(1);
  clock_.Advance(absl::Seconds(3));
  backend_.Release();
  ASSERT_TRUE(answer.Wait().ok());
  EXPECT_EQ(answer.Wait()->compute, absl::Seconds(3));
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(1));
  const auto seconds = batcher_.timer(0).Seconds();
  EXPECT_DOUBLE_EQ(seconds[static_cast<int>(BatcherState::kIdle)], 3);
  EXPECT_DOUBLE_EQ(seconds[static_cast<int>(BatcherState::kComputing)], 3);
  EXPECT_DOUBLE_EQ(std::accumulate(seconds.begin(), seconds.end(), 0.0), 6);
}

TEST_F(BatcherTest, ObserverSeesEachBatch) {
  std::vector<size_t> sizes;
  Batcher batcher(&backend_, {.clock = &clock_, .on_batch = [&](const BatchReport& report) {
                                sizes.push_back(report.queue_waits.size());
                              }});
  Answer answer;
  PlanCall call;
  call.item = FakeItem();
  call.done = answer.Done();
  ASSERT_TRUE(batcher.Submit(run_, {call}).ok());
  ASSERT_TRUE(answer.Wait().ok());
  batcher.Close();
  EXPECT_THAT(sizes, ElementsAre(1u));
}

TEST_F(BatcherTest, ManyCallersPublishersAndCancellersEachGetOneAnswer) {
  constexpr int kCallers = 4, kCalls = 200;
  FakeBackend backend(/*threads=*/3);
  Batcher batcher(&backend, {.clock = &clock_});
  std::atomic<int> answered = 0;
  std::atomic<bool> publishing = true;
  Thread publisher("publisher", [&] {
    for (uint64_t number = 2; publishing; ++number) {
      run_->parameters().Put(FakeModel(number),
                             number % 3 == 0 ? absl::Seconds(1) : absl::ZeroDuration());
    }
  });
  {
    std::vector<Thread> callers;
    for (int c = 0; c < kCallers; ++c) {
      callers.emplace_back("caller", [&] {
        for (int i = 0; i < kCalls; ++i) {
          Answer answer;
          const auto id = SubmitTo(batcher, &answer, 0);
          ASSERT_TRUE(id.ok()) << id.status();
          if (i % 7 == 0) batcher.Cancel(*id, 1);
          const auto result = answer.Wait();
          // The value is the version's number: a batch mixed of two versions would show here.
          if (result.ok()) {
            EXPECT_EQ(result->plan.plan_value, static_cast<float>(result->version.number));
          }
          ++answered;
        }
      });
    }
  }
  publishing = false;
  EXPECT_EQ(answered, kCallers * kCalls);
  const PlannerRun::Stats stats = run_->stats();
  EXPECT_EQ(stats.plans + stats.cancelled, static_cast<uint64_t>(kCallers * kCalls));
  EXPECT_THAT(backend.batch_sizes(), Each(Le(FakeSpec().max_batch)));
}

}  // namespace
}  // namespace pompc::planner
