// What a recording relies on, and what no device is needed to see.
#ifndef POMPC_TESTS_MODEL_STRICT_RECORDER_H_
#define POMPC_TESTS_MODEL_STRICT_RECORDER_H_

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "model/recorder.h"

namespace pompc::model {

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

  static inline thread_local std::vector<std::string> lines_;
  static inline thread_local bool describing_ = false;
  at::CallbackHandle handle_;
};

// A recorder that holds programs to their word: every run of a variant is the same operations, and
// none of them reads a number back from the device.
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

}  // namespace pompc::model

#endif  // POMPC_TESTS_MODEL_STRICT_RECORDER_H_
