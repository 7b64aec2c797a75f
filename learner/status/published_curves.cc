#include "learner/status/published_curves.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/process/data_folder.h"
#include "common/values/numbers.h"
#include "rundir/csv_file.h"

namespace pompc::learner {
namespace {

const std::vector<std::string>& PublishedColumns() {
  static const auto* columns =
      new std::vector<std::string>{"method", "task", "frames", "return_mean", "seeds"};
  return *columns;
}

void AddName(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

// The task's curves, and what else there is, for errors.
struct PublishedFile {
  std::vector<PublishedCurve> curves;
  std::vector<std::string> methods;
  std::vector<std::string> tasks;
};

// Appends the point of one row to its curve. False if its numbers are none, or out of order.
bool AddPoint(const rundir::CsvFile::Row& row, PublishedCurve* curve) {
  double frames = 0, return_mean = 0;
  if (!absl::SimpleAtod(row[2], &frames) || !absl::SimpleAtod(row[3], &return_mean)) return false;
  if (!std::isfinite(frames) || !std::isfinite(return_mean) || frames < 0) return false;
  if (!curve->frames.empty() && frames <= curve->frames.back()) return false;
  std::optional<int> seeds;
  if (!row[4].empty()) {
    const absl::StatusOr<int> given = ParseInteger<int>(row[4], 1);
    if (!given.ok()) return false;
    seeds = *given;
  }
  curve->frames.push_back(frames);
  curve->return_mean.push_back(return_mean);
  curve->seeds.push_back(seeds);
  return true;
}

absl::StatusOr<PublishedFile> ReadTask(const std::string& path, const std::string& task) {
  // A missing file is no empty table here.
  POMPC_RETURN_IF_ERROR(ReadFile(path).status());
  auto rows = rundir::ReadCsv(path, PublishedColumns());
  if (!rows.ok()) return absl::DataLossError(rows.status().message());
  PublishedFile file;
  for (size_t i = 0; i < rows->size(); ++i) {
    const rundir::CsvFile::Row& row = (*rows)[i];
    AddName(row[0], &file.methods);
    AddName(row[1], &file.tasks);
    if (row[1] != task) continue;
    auto curve = std::find_if(file.curves.begin(), file.curves.end(),
                              [&](const PublishedCurve& one) { return one.method == row[0]; });
    if (curve == file.curves.end()) {
      const auto method = std::find(file.methods.begin(), file.methods.end(), row[0]);
      const size_t index = method - file.methods.begin();
      curve = file.curves.insert(curve, {.method = row[0], .index = index});
    }
    if (!AddPoint(row, &*curve)) {
      return absl::DataLossError(absl::StrCat(
          path, ":", i + 2, ": frames and return_mean must be numbers, frames ascending, seeds 1 ",
          "or more or empty"));
    }
  }
  return file;
}

}  // namespace

std::string DefaultPublishedDir() {
  return DataFolder("POMPC_PUBLISHED_DIR", "bench/learning/published");
}

absl::StatusOr<std::vector<PublishedCurve>> ReadPublishedCurves(
    const std::string& dir, const std::string& task, const std::vector<std::string>& methods) {
  const std::string path = (std::filesystem::path(dir) / "dmc.csv").string();
  POMPC_ASSIGN_OR_RETURN(PublishedFile file, ReadTask(path, task));
  if (file.curves.empty()) {
    return absl::NotFoundError(absl::StrCat("no published curve of the task \"", task, "\" in ",
                                            path, "; there are curves of ",
                                            absl::StrJoin(file.tasks, ", ")));
  }
  if (methods.empty()) return file.curves;
  std::vector<PublishedCurve> chosen;
  for (PublishedCurve& curve : file.curves) {
    if (std::find(methods.begin(), methods.end(), curve.method) != methods.end()) {
      chosen.push_back(curve);
    }
  }
  for (const std::string& method : methods) {
    if (std::any_of(chosen.begin(), chosen.end(),
                    [&](const PublishedCurve& curve) { return curve.method == method; })) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", method, "\" is no method with a published curve of ", task, "; allowed: ",
        absl::StrJoin(file.curves, ", ", [](std::string* out, const PublishedCurve& curve) {
          out->append(curve.method);
        })));
  }
  return chosen;
}

std::optional<PublishedReturn> ReturnAt(const PublishedCurve& curve, double frames) {
  POMPC_CHECK_EQ(curve.frames.size(), curve.return_mean.size());
  const auto next = std::lower_bound(curve.frames.begin(), curve.frames.end(), frames);
  if (next == curve.frames.end()) return std::nullopt;
  const size_t i = next - curve.frames.begin();
  if (*next == frames) return PublishedReturn{curve.return_mean[i], curve.seeds[i]};
  if (i == 0) return std::nullopt;
  const double part = (frames - curve.frames[i - 1]) / (*next - curve.frames[i - 1]);
  // An absent number is less than any other.
  return PublishedReturn{std::lerp(curve.return_mean[i - 1], curve.return_mean[i], part),
                         std::min(curve.seeds[i - 1], curve.seeds[i])};
}

PublishedCurve UpTo(const PublishedCurve& curve, double frames) {
  PublishedCurve part = {.method = curve.method, .index = curve.index};
  for (size_t i = 0; i < curve.frames.size() && curve.frames[i] < frames; ++i) {
    part.frames.push_back(curve.frames[i]);
    part.return_mean.push_back(curve.return_mean[i]);
    part.seeds.push_back(curve.seeds[i]);
  }
  if (const std::optional<PublishedReturn> end = ReturnAt(curve, frames)) {
    part.frames.push_back(frames);
    part.return_mean.push_back(end->return_mean);
    part.seeds.push_back(end->seeds);
  }
  return part;
}

}  // namespace pompc::learner
