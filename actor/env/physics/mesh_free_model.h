#ifndef POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
#define POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_

#include <string>

#include "absl/status/status.h"

namespace tinyxml2 {
class XMLDocument;
}  // namespace tinyxml2

namespace pompc::env {

// Takes the meshes out of a model that uses them for looks and inertia alone: no mesh collides.
// `document` is compiled with the files in `folder` once, its bodies get the masses and inertias
// that come of it, and everything about meshes goes. The result moves as the original to the last
// bits, is quicker to load and to step, and needs no files.
//
// Results are kept for the process, and in pompc/models in $XDG_CACHE_HOME or ~/.cache where that
// can be written; they count for the same document, mesh files and MuJoCo only. Thread-safe.
//
// INVALID_ARGUMENT with MuJoCo's words for a model or mesh it does not take, or if a mesh collides;
// NOT_FOUND naming a mesh file that is missing.
absl::Status RemoveMeshes(const std::string& folder, tinyxml2::XMLDocument* document);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
