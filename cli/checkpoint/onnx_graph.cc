#include "cli/checkpoint/onnx_graph.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/program.h"

namespace pompc::cli {

std::string OnnxGraph::NewName(const std::string& op) { return absl::StrCat(op, "_", ++values_); }

void OnnxGraph::AddValue(const std::string& name, const std::vector<int64_t>& sizes,
                         const std::string& meaning, proto::OnnxValue* value) {
  value->set_name(name);
  value->set_doc_string(meaning);
  proto::OnnxValue::Tensor* tensor = value->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(proto::OnnxTensor::FLOAT);
  for (const int64_t size : sizes) {
    proto::OnnxValue::Dimension* dimension = tensor->mutable_shape()->add_dim();
    if (size < 0)
      dimension->set_dim_param("rows");
    else
      dimension->set_dim_value(size);
  }
}

std::string OnnxGraph::Input(const std::string& name, int64_t width, const std::string& meaning) {
  AddValue(name, {-1, width}, meaning, model_.mutable_graph()->add_input());
  return name;
}

void OnnxGraph::Output(const std::string& name, const std::string& value,
                       std::vector<int64_t> sizes, const std::string& meaning) {
  proto::OnnxNode* node = model_.mutable_graph()->add_node();
  node->set_name(name);
  node->set_op_type("Identity");
  node->add_input(value);
  node->add_output(name);
  AddValue(name, sizes, meaning, model_.mutable_graph()->add_output());
}

std::string OnnxGraph::Apply(const std::string& op, const std::vector<std::string>& inputs) {
  const std::string name = NewName(op);
  proto::OnnxNode* node = model_.mutable_graph()->add_node();
  node->set_name(name);
  node->set_op_type(op);
  for (const std::string& input : inputs) node->add_input(input);
  node->add_output(name);
  return name;
}

std::string OnnxGraph::Apply(const std::string& op, const std::vector<std::string>& inputs,
                             const std::string& setting, int64_t number) {
  const std::string name = Apply(op, inputs);
  proto::OnnxAttribute* attribute =
      model_.mutable_graph()->mutable_node(model_.graph().node_size() - 1)->add_attribute();
  attribute->set_name(setting);
  attribute->set_type(proto::OnnxAttribute::INT);
  attribute->set_i(number);
  return name;
}

std::string OnnxGraph::Constant(const at::Tensor& tensor) {
  const at::Tensor numbers = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  const std::string name = NewName("Constant");
  proto::OnnxTensor* constant = model_.mutable_graph()->add_initializer();
  constant->set_name(name);
  constant->set_data_type(proto::OnnxTensor::FLOAT);
  for (const int64_t size : numbers.sizes()) constant->add_dims(size);
  constant->set_raw_data(numbers.data_ptr(), numbers.nbytes());
  return name;
}

std::string OnnxGraph::Number(double number) { return Constant(at::full({}, number, at::kFloat)); }

std::string OnnxGraph::Integers(const std::vector<int64_t>& numbers) {
  const std::string name = NewName("Constant");
  proto::OnnxTensor* constant = model_.mutable_graph()->add_initializer();
  constant->set_name(name);
  constant->set_data_type(proto::OnnxTensor::INT64);
  constant->add_dims(static_cast<int64_t>(numbers.size()));
  constant->set_raw_data(numbers.data(), numbers.size() * sizeof(int64_t));
  return name;
}

std::string OnnxGraph::Join(const std::string& x, const std::string& y) {
  return Apply("Concat", {x, y}, "axis", -1);
}

std::vector<std::string> OnnxGraph::Halves(const std::string& x, int64_t width) {
  const std::string first = Apply("Split", {x, Integers({width, width})}, "axis", -1);
  const std::string second = NewName("Split");
  model_.mutable_graph()->mutable_node(model_.graph().node_size() - 1)->add_output(second);
  return {first, second};
}

std::string OnnxGraph::Linear(const std::string& x, const at::Tensor& weight,
                              const at::Tensor& bias) {
  if (weight.dim() == 2) return Apply("Gemm", {x, Constant(weight), Constant(bias)});
  const std::string product = Apply("MatMul", {x, Constant(weight)});
  return Apply("Add", {product, Constant(bias.unsqueeze(1))});
}

std::string OnnxGraph::Norm(const std::string& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
  if (weight.dim() == 1) {
    return Apply("LayerNormalization", {x, Constant(weight), Constant(bias)}, "axis", -1);
  }
  // The operator's own scale would be the same for all members of an ensemble.
  const std::string normed =
      Apply("LayerNormalization", {x, Constant(at::ones({weight.size(-1)}))}, "axis", -1);
  const std::string scaled = Apply("Mul", {normed, Constant(weight.unsqueeze(1))});
  return Apply("Add", {scaled, Constant(bias.unsqueeze(1))});
}

std::string OnnxGraph::Activate(const std::string& x, int64_t width, int64_t simnorm_dim) {
  // Mish is an operator of its own only since opset 18.
  if (simnorm_dim == 0) return Apply("Mul", {x, Apply("Tanh", {Apply("Softplus", {x})})});
  // In the shapes 0 stands for the number of rows.
  const std::string groups = Apply("Reshape", {x, Integers({0, width / simnorm_dim, simnorm_dim})});
  const std::string simplices = Apply("Softmax", {groups}, "axis", -1);
  return Apply("Reshape", {simplices, Integers({0, width})});
}

std::string OnnxGraph::Forward(const model::Mlp& mlp, const std::string& x) {
  // What the network lists is what it is made of: a layer that is not the last one, or that SimNorm
  // follows, has a norm.
  std::map<std::string, at::Tensor> parameters;
  for (const model::NamedTensor& named : mlp.Parameters()) parameters[named.name] = named.tensor;
  POMPC_CHECK(mlp.spec().members == 0 || mlp.spec().simnorm_dim == 0,
              "SimNorm of an ensemble has another shape");
  std::string y = x;
  for (size_t i = 0; i <= mlp.spec().hidden.size(); ++i) {
    const std::string layer = absl::StrCat(mlp.spec().name, ".", i);
    const at::Tensor& weight = parameters.at(layer + ".weight");
    y = Linear(y, weight, parameters.at(layer + ".bias"));
    const auto norm = parameters.find(layer + ".norm.weight");
    if (norm == parameters.end()) continue;
    y = Norm(y, norm->second, parameters.at(layer + ".norm.bias"));
    const bool last = i == mlp.spec().hidden.size();
    y = Activate(y, weight.size(-1), last ? mlp.spec().simnorm_dim : 0);
  }
  return y;
}

std::string OnnxGraph::Decode(const std::string& logits, const model::Bins& bins) {
  const at::Tensor centers = (at::arange(bins.count, at::kDouble) * bins.width() + bins.low);
  const std::string mean =
      Apply("MatMul", {Apply("Softmax", {logits}, "axis", -1), Constant(centers.unsqueeze(1))});
  const std::string x = Apply("Squeeze", {mean, Integers({-1})});
  // symexp
  const std::string size = Apply("Sub", {Apply("Exp", {Apply("Abs", {x})}), Number(1)});
  return Apply("Mul", {Apply("Sign", {x}), size});
}

proto::OnnxModel OnnxGraph::Finish(const std::string& meaning) {
  model_.set_ir_version(kIrVersion);
  model_.add_opset_import()->set_version(kOpset);
  model_.set_producer_name("pompc");
  model_.set_producer_version(Version());
  model_.set_doc_string(meaning);
  return std::move(model_);
}

}  // namespace pompc::cli
