#include "actor/env/physics/mesh_free_model.h"

#include <tinyxml2.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/physics/physics.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

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

std::string NameOf(const XMLElement& element) {
  const char* name = element.Attribute("name");
  return name == nullptr ? "" : name;
}

absl::Status SetInertials(absl::string_view inertials, XMLDocument* document) {
  if (inertials.empty()) return absl::OkStatus();
  XMLDocument given;
  POMPC_CHECK(given.Parse(inertials.data(), inertials.size()) == tinyxml2::XML_SUCCESS);
  std::map<std::string, XMLElement*> bodies;
  for (XMLElement* body : All(document, "body")) bodies.emplace(NameOf(*body), body);
  for (const XMLElement* one = given.RootElement()->FirstChildElement("body"); one != nullptr;
       one = one->NextSiblingElement("body")) {
    const auto body = bodies.find(NameOf(*one));
    if (body == bodies.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no body named \"", NameOf(*one), "\" in it"));
    }
    if (body->second->FirstChildElement("inertial") != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("body \"", body->first, "\" has an inertial of its own"));
    }
    XMLElement* inertial = body->second->InsertNewChildElement("inertial");
    for (const tinyxml2::XMLAttribute* attribute = one->FirstAttribute(); attribute != nullptr;
         attribute = attribute->Next()) {
      if (absl::string_view(attribute->Name()) == "name") continue;
      inertial->SetAttribute(attribute->Name(), attribute->Value());
    }
  }
  return absl::OkStatus();
}

// Gives each mesh the shape of a tetrahedron, which needs no file. The model then compiles, and
// shows what its geoms are.
void ForgetShapes(XMLDocument* document) {
  for (XMLElement* mesh : All(document, "mesh")) {
    const char* file = mesh->Attribute("file");
    if (file == nullptr) continue;
    // The name that MuJoCo gives to a mesh without one.
    if (NameOf(*mesh).empty()) {
      mesh->SetAttribute("name", std::filesystem::path(file).stem().c_str());
    }
    mesh->DeleteAttribute("file");
    mesh->SetAttribute("vertex", "0 0 0 1 0 0 0 1 0 0 0 1");
  }
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
    XMLElement* parent = geom->Parent()->ToElement();
    if (absl::string_view(parent->Name()) == "body" &&
        parent->FirstChildElement("inertial") == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "body \"", NameOf(*parent), "\" weighs what its meshes weigh, which is not known"));
    }
    parent->DeleteChild(geom);
    --shaped;
  }
  if (shaped != 0) return absl::InvalidArgumentError("a geom in it is fitted to a mesh");
  for (XMLElement* mesh : All(document, "mesh")) mesh->Parent()->DeleteChild(mesh);
  return absl::OkStatus();
}

}  // namespace

absl::Status RemoveMeshes(absl::string_view inertials, XMLDocument* document) {
  POMPC_RETURN_IF_ERROR(SetInertials(inertials, document));
  ForgetShapes(document);
  tinyxml2::XMLPrinter printer;
  document->Print(&printer);
  POMPC_ASSIGN_OR_RETURN(const auto physics, Physics::FromXml(printer.CStr()));
  return DeleteMeshes(physics->model(), document);
}

}  // namespace pompc::env
