#ifndef POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
#define POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_

#include <string>

#include "absl/status/status.h"

namespace tinyxml2 {
class XMLDocument;
}  // namespace tinyxml2

namespace pompc::env {

// Takes the meshes out of a model that uses them for looks and inertia alone, which means that no
// mesh collides. `document` is compiled once with the files in `folder`, its bodies get the masses
// and inertias that result, and all that concerns meshes is removed. The model that is left moves
// like the original up to the last bits, is quicker to load and to step, and needs no files.
//
// Results are cached in the process, and in pompc/models in $XDG_CACHE_HOME or ~/.cache where that
// can be written, by document, mesh files and version of MuJoCo. Thread-safe.
//
// Returns INVALID_ARGUMENT with MuJoCo's words for a model or mesh that MuJoCo refuses, or if a
// mesh collides, and NOT_FOUND naming a mesh file that is missing.
absl::Status RemoveMeshes(const std::string& folder, tinyxml2::XMLDocument* document);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
