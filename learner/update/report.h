// The metrics of an update, out of what it computes on its way.
#ifndef POMPC_LEARNER_UPDATE_REPORT_H_
#define POMPC_LEARNER_UPDATE_REPORT_H_

#include "learner/update/batch.h"
#include "learner/update/losses.h"
#include "learner/update/metrics.h"
#include "model/ops.h"

namespace pompc::update {

// Each sets the metrics that follow from its arguments; none waits for the device.
void Report(const ModelLosses& losses, const Targets& targets, const model::Bins& bins,
            MetricTensors& metrics);
void Report(const PriorLoss& loss, const Windows& windows, MetricTensors& metrics);
void Report(const PolicyTerms& terms, const Windows& windows, MetricTensors& metrics);
void Report(const Windows& windows, MetricTensors& metrics);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_REPORT_H_
