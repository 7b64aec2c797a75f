#include "actor/env/physics/mesh_free_model.h"

#include <dlfcn.h>
#include <tinyxml2.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "actor/env/physics/physics.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/files.h"
#include "common/process/log.h"

namespace pompc::env {
namespace {

namespace fs = std::filesystem;
using tinyxml2::XMLDocument;
using tinyxml2::XMLElement;

// Appends all elements named `tag` below `parent`, in the order of the document.
void Collect(XMLElement* parent, absl::string_view tag, std::vector<XMLElement*>* found) {
  for (XMLElement* child = parent->FirstChildElement(); child != nullptr;
       child = child->NextSiblingElement()) {
    if (child->Name() == tag) found->push_back(child);
    Collect(child, tag, found);
  }
}

std::vector<XMLElement*> All(XMLDocument* document, absl::string_view tag) {
  std::vector<XMLElement*> found;
  Collect(document->RootElement(), tag, &found);
  return found;
}

std::string Text(const XMLDocument& document) {
  tinyxml2::XMLPrinter printer;
  document.Print(&printer);
  return printer.CStr();
}

std::string Numbers(const mjtNum* numbers, int size) {
  return absl::StrJoin(numbers, numbers + size, " ", [](std::string* out, double number) {
    absl::StrAppendFormat(out, "%.17g", number);
  });
}

uint32_t Crc(const std::string& text) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

// Makes the paths of the mesh files absolute, and returns them: the document is compiled from
// memory, where relative paths lead nowhere.
std::vector<std::string> LocateMeshes(const std::string& folder, XMLDocument* document) {
  fs::path meshes = fs::absolute(folder);
  for (XMLElement* compiler : All(document, "compiler")) {
    if (const char* below = compiler->Attribute("meshdir")) meshes /= below;
    compiler->DeleteAttribute("meshdir");
    compiler->DeleteAttribute("texturedir");
  }
  std::vector<std::string> paths;
  for (XMLElement* mesh : All(document, "mesh")) {
    if (const char* file = mesh->Attribute("file")) {
      paths.push_back((meshes / file).lexically_normal().string());
      mesh->SetAttribute("file", paths.back().c_str());
    }
  }
  return paths;
}

// Returns a text that differs between different documents, meshes and versions of MuJoCo. The
// length stands beside the checksum because 32 bits alone would collide sooner.
absl::StatusOr<std::string> KeyOf(const std::string& document,
                                  const std::vector<std::string>& meshes) {
  std::string identity = absl::StrCat(mj_version(), "\n", document);
  for (const std::string& mesh : meshes) {
    POMPC_ASSIGN_OR_RETURN(const Checksum checksum, ChecksumFile(mesh));
    absl::StrAppend(&identity, checksum.bytes, " ", checksum.crc32, "\n");
  }
  return absl::StrFormat("%08x-%d", Crc(identity), identity.size());
}

// Writes the masses and inertias of the compiled bodies into `document`. The numbers have 17
// digits, which read back as the same doubles. MuJoCo numbers bodies in the order of the document,
// which is verified by their names.
absl::Status WriteInertias(const mjModel& model, XMLDocument* document) {
  std::vector<XMLElement*> bodies;
  for (XMLElement* world : All(document, "worldbody")) Collect(world, "body", &bodies);
  if (static_cast<int>(bodies.size()) != model.nbody - 1) {
    return absl::InvalidArgumentError("its bodies are not those it compiles to");
  }
  for (int i = 1; i < model.nbody; ++i) {
    XMLElement* body = bodies[i - 1];
    const char* name = body->Attribute("name");
    if (name != nullptr && mj_name2id(&model, mjOBJ_BODY, name) != i) {
      return absl::InvalidArgumentError(absl::StrCat("body \"", name, "\" is not in its place"));
    }
    if (body->FirstChildElement("inertial") != nullptr || model.body_mass[i] == 0) continue;
    XMLElement* inertial = body->InsertNewChildElement("inertial");
    inertial->SetAttribute("pos", Numbers(model.body_ipos + 3 * i, 3).c_str());
    inertial->SetAttribute("quat", Numbers(model.body_iquat + 4 * i, 4).c_str());
    inertial->SetAttribute("mass", Numbers(model.body_mass + i, 1).c_str());
    inertial->SetAttribute("diaginertia", Numbers(model.body_inertia + 3 * i, 3).c_str());
  }
  return absl::OkStatus();
}

// Deletes the meshes and the geoms that have their shape. A geom that is fitted to a mesh, like a
// capsule around it, names the mesh in the document but has another shape once compiled: then the
// counts differ.
absl::Status DeleteMeshes(const mjModel& model, XMLDocument* document) {
  int shaped = 0;
  for (int i = 0; i < model.ngeom; ++i) {
    if (model.geom_type[i] != mjGEOM_MESH) continue;
    ++shaped;
    if (model.geom_contype[i] != 0 || model.geom_conaffinity[i] != 0) {
      return absl::InvalidArgumentError("a mesh in it collides; only meshes for looks are handled");
    }
  }
  for (XMLElement* geom : All(document, "geom")) {
    if (geom->Attribute("mesh") == nullptr) continue;
    geom->Parent()->DeleteChild(geom);
    --shaped;
  }
  if (shaped != 0) return absl::InvalidArgumentError("a geom in it is fitted to a mesh");
  for (XMLElement* mesh : All(document, "mesh")) mesh->Parent()->DeleteChild(mesh);
  return absl::OkStatus();
}

// From version 3 on, MuJoCo reads mesh files with plug-ins. They lie beside the library in the
// Python package, and beside the programs in a release of MuJoCo.
void LoadDecoders() {
#if mjVERSION_HEADER >= 300
  static const bool once = [] {
    Dl_info library = {};
    if (dladdr(reinterpret_cast<void*>(&mj_loadXML), &library) == 0) return false;
    const fs::path folder = fs::path(library.dli_fname).parent_path();
    for (const char* place : {"plugin", "../bin/mujoco_plugin"}) {
      for (const char* name : {"libstl_decoder.so", "libobj_decoder.so"}) {
        const fs::path decoder = folder / place / name;
        std::error_code ignored;
        if (fs::exists(decoder, ignored)) mj_loadPluginLibrary(decoder.c_str());
      }
    }
    return true;
  }();
  (void)once;
#endif
}

absl::StatusOr<std::string> MakeMeshFree(XMLDocument* document) {
  LoadDecoders();
  POMPC_ASSIGN_OR_RETURN(const auto physics, Physics::FromXml(Text(*document)));
  POMPC_RETURN_IF_ERROR(WriteInertias(physics->model(), document));
  POMPC_RETURN_IF_ERROR(DeleteMeshes(physics->model(), document));
  return Text(*document);
}

// Returns the path of the cached result, or an empty text where the environment names no home.
std::string CacheFile(const std::string& key) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (home != nullptr && *home != '\0') {
    folder = fs::path(home) / ".cache";
  } else {
    return "";
  }
  return (folder / "pompc/models" / absl::StrCat(key, ".xml")).string();
}

std::string Seal(const std::string& text) { return absl::StrFormat("<!-- %08x -->\n", Crc(text)); }

// Returns the text in the file, or an empty one if there is none or its seal shows that it is not
// what was written.
std::string ReadCache(const std::string& path) {
  if (path.empty()) return "";
  const absl::StatusOr<std::string> sealed = ReadFile(path);
  const size_t seal = Seal("").size();
  if (!sealed.ok() || sealed->size() < seal) return "";
  const std::string text = sealed->substr(0, sealed->size() - seal);
  return sealed->substr(text.size()) == Seal(text) ? text : "";
}

void WriteCache(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  absl::Status status = MakeFolders(fs::path(path).parent_path().string());
  if (status.ok()) status = WriteFileAtomically(path, absl::StrCat(text, Seal(text)));
  if (!status.ok()) Log().debug("the mesh-free model is not kept: {}", status.ToString());
}

// The results that this process has made or read.
struct Kept {
  Mutex mu;
  std::map<std::string, std::string> texts ABSL_GUARDED_BY(mu);
};

// Returns the result for `document`, whose key is given. The lock is held while one is made, so
// that threads that want the same model at once compile it once.
absl::StatusOr<std::string> MeshFree(const std::string& key, XMLDocument* document) {
  static auto* kept = new Kept;
  MutexLock lock(&kept->mu);
  const auto found = kept->texts.find(key);
  if (found != kept->texts.end()) return found->second;
  const std::string path = CacheFile(key);
  std::string text = ReadCache(path);
  if (text.empty()) {
    POMPC_ASSIGN_OR_RETURN(text, MakeMeshFree(document));
    WriteCache(path, text);
  }
  kept->texts.emplace(key, text);
  return text;
}

}  // namespace

absl::Status RemoveMeshes(const std::string& folder, XMLDocument* document) {
  const std::string given = Text(*document);
  POMPC_ASSIGN_OR_RETURN(const std::string key, KeyOf(given, LocateMeshes(folder, document)));
  POMPC_ASSIGN_OR_RETURN(const std::string text, MeshFree(key, document));
  if (document->Parse(text.data(), text.size()) != tinyxml2::XML_SUCCESS) {
    return absl::InternalError(absl::StrCat("mesh-free model: ", document->ErrorStr()));
  }
  return absl::OkStatus();
}

}  // namespace pompc::env
