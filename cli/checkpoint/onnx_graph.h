#ifndef POMPC_CLI_CHECKPOINT_ONNX_GRAPH_H_
#define POMPC_CLI_CHECKPOINT_ONNX_GRAPH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/mlp.h"
#include "model/ops.h"
#include "proto/onnx.pb.h"

namespace pompc::cli {

// A graph of ONNX operations in the making: the networks of model/ in the operators of ONNX's
// opset 17. Values are known by their names, which are unique within the graph; all are float32 of
// [rows, width], but for those of an ensemble, [members, rows, width]. Used by one thread at a
// time.
class OnnxGraph {
 public:
  // The version of ONNX's operators that the graphs need, and that of the file format with it.
  static constexpr int64_t kOpset = 17;
  static constexpr int64_t kIrVersion = 8;

  explicit OnnxGraph(const std::string& name) { model_.mutable_graph()->set_name(name); }

  // An input [rows, width], by its name, which it returns.
  std::string Input(const std::string& name, int64_t width, const std::string& meaning);
  // Makes a value an output under another name. `sizes` are those of its dimensions; -1 is the
  // number of rows.
  void Output(const std::string& name, const std::string& value, std::vector<int64_t> sizes,
              const std::string& meaning);

  // One operation without settings, or with one whole number, on values: its result.
  std::string Apply(const std::string& op, const std::vector<std::string>& inputs);
  std::string Apply(const std::string& op, const std::vector<std::string>& inputs,
                    const std::string& setting, int64_t number);
  // Constants: a float32 tensor with its shape, one number, whole numbers.
  std::string Constant(const at::Tensor& tensor);
  std::string Number(double number);
  std::string Integers(const std::vector<int64_t>& numbers);

  // x and y side by side in the last dimension.
  std::string Join(const std::string& x, const std::string& y);
  // The first and the last `width` numbers of x, which has twice as many in its last dimension.
  std::vector<std::string> Halves(const std::string& x, int64_t width);
  // What the network computes from x (Mlp::Forward without dropout and with all members).
  std::string Forward(const model::Mlp& mlp, const std::string& x);
  // model::TwoHotDecode: [..., bins] -> [...].
  std::string Decode(const std::string& logits, const model::Bins& bins);

  // The file that has the graph. Nothing may be called after it.
  proto::OnnxModel Finish(const std::string& meaning);

 private:
  std::string NewName(const std::string& op);
  void AddValue(const std::string& name, const std::vector<int64_t>& sizes,
                const std::string& meaning, proto::OnnxValue* value);
  // The three steps of a layer (model::NormedLinear).
  std::string Linear(const std::string& x, const at::Tensor& weight, const at::Tensor& bias);
  std::string Norm(const std::string& x, const at::Tensor& weight, const at::Tensor& bias);
  std::string Activate(const std::string& x, int64_t width, int64_t simnorm_dim);

  proto::OnnxModel model_;
  int64_t values_ = 0;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_ONNX_GRAPH_H_
