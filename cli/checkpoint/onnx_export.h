// A checkpoint's networks as ONNX files, for programs that have no pompc. docs/checkpoints.md has
// the files, their inputs and outputs.
#ifndef POMPC_CLI_CHECKPOINT_ONNX_EXPORT_H_
#define POMPC_CLI_CHECKPOINT_ONNX_EXPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/checkpoint/checkpoint_file.h"

namespace pompc::cli {

struct OnnxOptions {
  // The policy's file, which ends in ".onnx". Those of --with-planner stand beside it.
  std::string path;
  // The pieces that a planner needs as well.
  bool with_planner = false;
  // The Python that compares the files with pompc's own numbers, if onnxruntime is installed for
  // it; empty: none does.
  std::string python = "python3";
};

// OK if the path can be the name of an ONNX file; INVALID_ARGUMENT naming the ending otherwise.
absl::Status CheckOnnxPath(const std::string& path);

struct OnnxExport {
  // The files that were written.
  std::vector<std::string> files;
  // A sentence about the comparison: how far onnxruntime's numbers differ from pompc's, or why
  // nothing was compared.
  std::string comparison;
};

// Writes the files, and compares first what onnxruntime computes with them for 1,000 observations.
// DATA_LOSS naming the file and the output that differs from pompc's by more than 1e-5 of its
// largest number (or of 1, if that is larger). RESOURCE_EXHAUSTED for networks beyond the 2 GiB of
// an ONNX file. After an error no file was written, unless one could not be moved to its place:
// then those before it are there.
// REQUIRES: CheckOnnxPath(options.path) is OK.
absl::StatusOr<OnnxExport> ExportOnnx(const CheckpointFile& checkpoint, const OnnxOptions& options);

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_ONNX_EXPORT_H_
