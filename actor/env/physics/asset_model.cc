#include "actor/env/physics/asset_model.h"

#include <tinyxml2.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "actor/env/physics/mesh_free_model.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::env {
namespace {

namespace fs = std::filesystem;
using tinyxml2::XMLDocument;
using tinyxml2::XMLElement;

constexpr char kHowToGet[] =
    "scripts/fetch-control-suite.sh gets the DeepMind Control Suite's models; --assets or "
    "POMPC_ASSETS names the folder of another copy (dm_control/suite)";

// Returns the variable's value, or an empty text if it is not set.
std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string FolderOf(const std::string& given) {
  return given.empty() ? DefaultAssetFolder() : given;
}

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

std::string Name(const std::string& path) { return fs::path(path).filename().string(); }

absl::Status Parse(const std::string& path, XMLDocument* document) {
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  if (document->Parse(text.data(), text.size()) != tinyxml2::XML_SUCCESS) {
    return Wrong(absl::StrCat(Name(path), " is not XML: ", document->ErrorStr()));
  }
  const XMLElement* root = document->RootElement();
  if (root == nullptr || absl::string_view(root->Name()) != "mujoco") {
    return Wrong(
        absl::StrCat(Name(path), " is not a MuJoCo model: it does not begin with <mujoco>"));
  }
  return absl::OkStatus();
}

// Calls `visit` with `element` and all elements below it. `visit` may change attributes.
void ForEach(XMLElement* element, const std::function<void(XMLElement*)>& visit) {
  visit(element);
  for (XMLElement* child = element->FirstChildElement(); child != nullptr;
       child = child->NextSiblingElement()) {
    ForEach(child, visit);
  }
}

std::vector<XMLElement*> Find(XMLElement* root, const AssetModel::Element& wanted) {
  std::vector<XMLElement*> found;
  ForEach(root, [&](XMLElement* element) {
    if (element->Name() != wanted.tag) return;
    const char* name = element->Attribute("name");
    if (wanted.name.empty() || (name != nullptr && name == wanted.name)) found.push_back(element);
  });
  return found;
}

absl::StatusOr<std::vector<XMLElement*>> FindSome(XMLElement* root,
                                                  const AssetModel::Element& wanted) {
  std::vector<XMLElement*> found = Find(root, wanted);
  if (!found.empty()) return found;
  return Wrong(absl::StrCat("there is no ", wanted.tag,
                            wanted.name.empty() ? "" : absl::StrCat(" named \"", wanted.name, "\""),
                            " in it"));
}

void Remove(const std::vector<XMLElement*>& elements) {
  for (XMLElement* element : elements) element->Parent()->DeleteChild(element);
}

// Replaces each <include file="..."/> with what the file holds. The suite includes one level deep,
// so an include within an included file is left alone. A path that leads out of the folder is
// refused, because the model may come from anywhere.
absl::Status Include(const std::string& folder, XMLDocument* document) {
  for (XMLElement* include : Find(document->RootElement(), {"include", ""})) {
    const char* file = include->Attribute("file");
    const fs::path path = file == nullptr ? "" : file;
    if (path.empty() || path.is_absolute() || absl::StrContains(path.string(), "..")) {
      return Wrong(
          absl::StrCat("line ", include->GetLineNum(), " includes a file outside of the folder"));
    }
    XMLDocument included;
    POMPC_RETURN_IF_ERROR(Parse((fs::path(folder) / path).lexically_normal().string(), &included));
    tinyxml2::XMLNode* parent = include->Parent();
    tinyxml2::XMLNode* last = include;
    for (const XMLElement* child = included.RootElement()->FirstChildElement(); child != nullptr;
         child = child->NextSiblingElement()) {
      last = parent->InsertAfterChild(last, child->DeepClone(document));
    }
    parent->DeleteChild(include);
  }
  return absl::OkStatus();
}

absl::Status Edit(const AssetModel& model, XMLElement* root) {
  for (const AssetModel::Element& wanted : model.removed) {
    POMPC_ASSIGN_OR_RETURN(const std::vector<XMLElement*> found, FindSome(root, wanted));
    Remove(found);
  }
  for (const AssetModel::Attribute& attribute : model.set) {
    POMPC_ASSIGN_OR_RETURN(const std::vector<XMLElement*> found, FindSome(root, attribute.element));
    for (XMLElement* element : found) {
      element->SetAttribute(attribute.name.c_str(), attribute.value.c_str());
    }
  }
  return absl::OkStatus();
}

// Textures are most of a compiled model's memory and of the time to compile it, and play no part in
// the physics.
void RemoveTextures(XMLElement* root) {
  Remove(Find(root, {"texture", ""}));
  Remove(Find(root, {"skin", ""}));
  ForEach(root, [](XMLElement* element) {
    if (absl::string_view(element->Name()) == "material") element->DeleteAttribute("texture");
  });
}

// The edits may have removed the geom that used a height field, which then still takes memory.
void RemoveUnusedHeightFields(XMLElement* root) {
  for (XMLElement* field : Find(root, {"hfield", ""})) {
    bool used = false;
    ForEach(root, [&](XMLElement* element) {
      const char* name = field->Attribute("name");
      used |= name != nullptr && element->Attribute("hfield", name) != nullptr;
    });
    if (!used) field->Parent()->DeleteChild(field);
  }
}

absl::StatusOr<std::string> Load(const AssetModel& model, const std::string& folder) {
  XMLDocument document;
  POMPC_RETURN_IF_ERROR(Parse((fs::path(folder) / model.file).string(), &document));
  XMLElement* root = document.RootElement();
  POMPC_RETURN_IF_ERROR(Include(folder, &document));
  POMPC_RETURN_IF_ERROR(Edit(model, root));
  RemoveTextures(root);
  RemoveUnusedHeightFields(root);
  if (!Find(root, {"mesh", ""}).empty()) {
    POMPC_RETURN_IF_ERROR(RemoveMeshes(model.inertials, &document));
  }
  tinyxml2::XMLPrinter printer;
  document.Print(&printer);
  return std::string(printer.CStr());
}

}  // namespace

std::string DefaultAssetFolder() {
  const fs::path given = FromEnvironment("POMPC_ASSETS");
  if (!given.empty()) return given.string();
  fs::path data = FromEnvironment("XDG_DATA_HOME");
  if (data.empty()) data = fs::path(FromEnvironment("HOME")) / ".local/share";
  return (data / "pompc/control-suite").string();
}

absl::Status FindAssetModel(const AssetModel& model, const std::string& folder) {
  const std::string where = FolderOf(folder);
  std::error_code ignored;
  if (fs::is_regular_file(fs::path(where) / model.file, ignored)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("there is no ", model.file, " in ", where, "; ", kHowToGet));
}

absl::StatusOr<std::string> LoadAssetModel(const AssetModel& model, const std::string& folder) {
  POMPC_RETURN_IF_ERROR(FindAssetModel(model, folder));
  absl::StatusOr<std::string> mjcf = Load(model, FolderOf(folder));
  if (mjcf.ok()) return mjcf;
  return ExplainAssetError(mjcf.status(), model, folder);
}

absl::Status ExplainAssetError(const absl::Status& error, const AssetModel& model,
                               const std::string& folder) {
  const std::string path = (fs::path(FolderOf(folder)) / model.file).string();
  // Parsers quote what they do not understand, which may be any bytes.
  std::string words(error.message());
  std::replace_if(
      words.begin(), words.end(), [](char c) { return !absl::ascii_isprint(c); }, '?');
  return absl::Status(error.code(), absl::StrCat(path, ": ", words, "; ", kHowToGet));
}

}  // namespace pompc::env
