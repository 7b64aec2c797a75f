#ifndef POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_
#define POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pompc::env {

// A model that is not part of this program: a file of the DeepMind Control Suite in a folder laid
// out as the suite's own (humanoid.xml, common/, dog_assets/, ...), and the changes that are made
// to it before it is compiled.
struct AssetModel {
  struct Element {
    std::string tag;
    // An empty name stands for all elements of the tag.
    std::string name;
  };
  struct Attribute {
    Element element;
    std::string name;
    std::string value;
  };

  // Sizes that the task relies on: a model with others is refused.
  struct Sizes {
    int positions = 0;
    int actuators = 0;
    // Numbers of all sensors together.
    int sensor_numbers = 0;
    bool operator==(const Sizes&) const = default;
  };

  std::string file;
  Sizes sizes = {};
  // Elements to remove and attributes to set; loading fails if the model lacks one of them.
  std::vector<Element> removed = {};
  std::vector<Attribute> set = {};
  // The masses and inertias of bodies that the model leaves to meshes, which are removed; as
  // RemoveMeshes takes them (mesh_free_model.h). A constant of the program.
  absl::string_view inertials = "";
};

// Returns the folder of the models when no other is given: $POMPC_ASSETS if that is set, else the
// folder that scripts/fetch-control-suite.sh fills, pompc/control-suite in $XDG_DATA_HOME or
// ~/.local/share.
std::string DefaultAssetFolder();

// Returns OK if `folder` (the default one if empty) has the model's file, else NOT_FOUND that says
// how to get it.
absl::Status FindAssetModel(const AssetModel& model, const std::string& folder);

// Returns the model as MJCF that refers to no other files: edited, without textures, and without
// meshes, for which `model.inertials` stand in (mesh_free_model.h). Fails with
// NOT_FOUND as FindAssetModel does, and with INVALID_ARGUMENT or NOT_FOUND, explained, if the model
// is not as expected or a file that it names is missing.
absl::StatusOr<std::string> LoadAssetModel(const AssetModel& model, const std::string& folder);

// Returns `error` with the file's name before it and the way to get a good file after it.
absl::Status ExplainAssetError(const absl::Status& error, const AssetModel& model,
                               const std::string& folder);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_ASSET_MODEL_H_
