#ifndef POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
#define POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tinyxml2 {
class XMLDocument;
}  // namespace tinyxml2

namespace pompc::env {

// Takes the meshes out of a model that uses them for looks and inertia alone, which means that no
// mesh collides. The masses and inertias that would follow from them are given: versions of MuJoCo
// compute them differently, and a task is to be the same under all. `inertials` is an XML document
// of bodies, <inertials><body name="..." mass="..." pos="..." .../></inertials>, with the
// attributes of MJCF's <inertial>. The model that is left is quicker to load and to step than the
// original, and needs no files. Thread-safe.
//
// Returns INVALID_ARGUMENT if the bodies are not those of the model, that is if one of them is
// missing or has an inertial of its own, or if a body with meshes has neither; with MuJoCo's words
// if it refuses the model; or if a mesh collides or has a geom fitted to it.
// REQUIRES: `inertials` is empty or such a document.
absl::Status RemoveMeshes(absl::string_view inertials, tinyxml2::XMLDocument* document);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_MESH_FREE_MODEL_H_
