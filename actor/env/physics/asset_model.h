#ifndef POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_
#define POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::env {

// A model that is not part of this program: a file of the DeepMind Control Suite's, in a folder
// laid out as the suite's own (humanoid.xml, common/, dog_assets/, ...), and what is changed in it
// before it is compiled.
struct AssetModel {
  struct Element {
    std::string tag;
    // Empty: all elements of the tag.
    std::string name;
  };
  struct Attribute {
    Element element;
    std::string name;
    std::string value;
  };

  // What the task counts on, so that another model is refused.
  struct Sizes {
    int positions = 0;
    int actuators = 0;
    // All sensors' numbers together.
    int sensor_numbers = 0;
    bool operator==(const Sizes&) const = default;
  };

  std::string file;
  Sizes sizes = {};
  // Each must be there.
  std::vector<Element> removed = {};
  std::vector<Attribute> set = {};
};

// Where the models are unless it is said otherwise: $POMPC_ASSETS; else the folder that
// scripts/fetch-control-suite.sh fills, pompc/control-suite in $XDG_DATA_HOME or ~/.local/share.
std::string DefaultAssetFolder();

// OK if `folder` (the default one if empty) has the model's file; else NOT_FOUND that says how to
// get it.
absl::Status FindAssetModel(const AssetModel& model, const std::string& folder);

// The model as MJCF that refers to no other files: edited, without textures, and without meshes,
// whose inertias are written into their bodies instead (mesh_free_model.h). NOT_FOUND as
// FindAssetModel; INVALID_ARGUMENT or NOT_FOUND for what is wrong with it or missing, explained.
absl::StatusOr<std::string> LoadAssetModel(const AssetModel& model, const std::string& folder);

// An error about the model, with the file's name before it and how to get a good one behind it.
absl::Status ExplainAssetError(const absl::Status& error, const AssetModel& model,
                               const std::string& folder);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_
