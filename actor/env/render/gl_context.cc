#include "actor/env/render/gl_context.h"

#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

// What is used of EGL 1.4 and its extensions EXT_platform_base, EXT_device_enumeration,
// EXT_platform_device, MESA_platform_surfaceless and KHR_surfaceless_context, as the registry at
// https://registry.khronos.org/EGL defines it. Declared here so that building needs no EGL either.
using Handle = void*;
using Int = int32_t;

constexpr unsigned kOpenGlApi = 0x30A2;
constexpr unsigned kPlatformDevice = 0x313F;
constexpr unsigned kPlatformSurfaceless = 0x31DD;
constexpr Int kNone = 0x3038;
constexpr Int kExtensions = 0x3055;
constexpr std::array<Int, 5> kConfigAttributes = {/*EGL_SURFACE_TYPE*/ 0x3033, /*PBUFFER_BIT*/ 1,
                                                  /*EGL_RENDERABLE_TYPE*/ 0x3040,
                                                  /*EGL_OPENGL_BIT*/ 8, kNone};

struct Egl {
  Handle (*get_proc_address)(const char* name);
  Int (*get_error)();
  const char* (*query_string)(Handle display, Int name);
  unsigned (*initialize)(Handle display, Int* major, Int* minor);
  unsigned (*bind_api)(unsigned api);
  unsigned (*choose_config)(Handle display, const Int* attributes, Handle* configs, Int size,
                            Int* count);
  Handle (*create_context)(Handle display, Handle config, Handle share, const Int* attributes);
  unsigned (*destroy_context)(Handle display, Handle context);
  unsigned (*make_current)(Handle display, Handle draw, Handle read, Handle context);
  Handle (*get_platform_display)(unsigned platform, Handle native, const Int* attributes);
  // Null if this EGL cannot list devices.
  unsigned (*query_devices)(Int size, Handle* devices, Int* count);
};

absl::Status Missing(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(
      "pictures cannot be drawn: ", what,
      "; install EGL and a driver (on Debian: apt-get install libegl1 libgl1-mesa-dri)"));
}

std::string Hex(Int number) { return absl::StrCat("0x", absl::Hex(number)); }

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// LibTorch 2.6 of Debian 13 exports the functions of its own LLVM. Mesa's software renderer would
// call those instead of its LLVM's, and crash. Mesa's driver is therefore loaded first and bound to
// its own libraries, so that EGL finds it already there. Without Mesa this does nothing. Sanitizers
// do not allow RTLD_DEEPBIND.
void BindMesaToItsOwnLibraries() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  dlopen("libEGL_mesa.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
#endif
}

absl::StatusOr<Egl> Load() {
  BindMesaToItsOwnLibraries();
  const char* given = std::getenv("POMPC_EGL_LIBRARY");
  const std::string name = given == nullptr || *given == '\0' ? "libEGL.so.1" : given;
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Missing(dlerror());
  Egl egl = {};
  const bool complete = Find(library, "eglGetProcAddress", &egl.get_proc_address) &&
                        Find(library, "eglGetError", &egl.get_error) &&
                        Find(library, "eglQueryString", &egl.query_string) &&
                        Find(library, "eglInitialize", &egl.initialize) &&
                        Find(library, "eglBindAPI", &egl.bind_api) &&
                        Find(library, "eglChooseConfig", &egl.choose_config) &&
                        Find(library, "eglCreateContext", &egl.create_context) &&
                        Find(library, "eglDestroyContext", &egl.destroy_context) &&
                        Find(library, "eglMakeCurrent", &egl.make_current);
  if (!complete) return Missing(absl::StrCat(name, " is not EGL 1.4"));
  egl.get_platform_display = reinterpret_cast<decltype(egl.get_platform_display)>(
      egl.get_proc_address("eglGetPlatformDisplayEXT"));
  egl.query_devices =
      reinterpret_cast<decltype(egl.query_devices)>(egl.get_proc_address("eglQueryDevicesEXT"));
  if (egl.get_platform_display == nullptr) {
    return Missing(absl::StrCat(name, " cannot draw without a display server"));
  }
  return egl;
}

// Returns the displays that need no display server: the devices in EGL's order, which lists GPUs
// first, and then the one that leaves the choice of a device to Mesa.
std::vector<Handle> Displays(const Egl& egl) {
  const char* listed = egl.query_string(nullptr, kExtensions);
  const absl::string_view extensions = listed == nullptr ? "" : listed;
  std::vector<Handle> displays;
  if (egl.query_devices != nullptr && absl::StrContains(extensions, "EGL_EXT_platform_device")) {
    std::array<Handle, 32> devices;
    Int count = 0;
    if (!egl.query_devices(devices.size(), devices.data(), &count)) count = 0;
    for (Int i = 0; i < count; ++i) {
      displays.push_back(egl.get_platform_display(kPlatformDevice, devices[i], nullptr));
    }
  }
  if (absl::StrContains(extensions, "EGL_MESA_platform_surfaceless")) {
    displays.push_back(egl.get_platform_display(kPlatformSurfaceless, nullptr, nullptr));
  }
  return displays;
}

class EglContext final : public GlContext {
 public:
  EglContext(const Egl& egl, Handle display, Handle context)
      : egl_(egl), display_(display), context_(context) {}
  ~EglContext() override {
    egl_.make_current(display_, nullptr, nullptr, nullptr);
    egl_.destroy_context(display_, context_);
  }

  absl::Status MakeCurrent() override {
    if (egl_.make_current(display_, nullptr, nullptr, context_)) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("the OpenGL context cannot be used: EGL error ", Hex(egl_.get_error())));
  }

 private:
  const Egl egl_;
  const Handle display_;
  const Handle context_;
};

// Returns null if the display gives no OpenGL context that can be used without a surface.
std::unique_ptr<GlContext> Open(const Egl& egl, Handle display) {
  if (display == nullptr || !egl.initialize(display, nullptr, nullptr)) return nullptr;
  Handle config = nullptr;
  Int configs = 0;
  if (!egl.bind_api(kOpenGlApi) ||
      !egl.choose_config(display, kConfigAttributes.data(), &config, 1, &configs) || configs < 1) {
    return nullptr;
  }
  const Handle handle = egl.create_context(display, config, nullptr, nullptr);
  if (handle == nullptr) return nullptr;
  auto context = std::make_unique<EglContext>(egl, display, handle);
  return context->MakeCurrent().ok() ? std::move(context) : nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GlContext>> GlContext::Make() {
  POMPC_ASSIGN_OR_RETURN(const Egl egl, Load());
  // A GPU may be listed without being usable (its device file is not readable, its driver is
  // another version): every display is tried before giving up.
  const std::vector<Handle> displays = Displays(egl);
  for (const Handle display : displays) {
    std::unique_ptr<GlContext> context = Open(egl, display);
    if (context != nullptr) return context;
  }
  return Missing(absl::StrCat("none of ", displays.size(),
                              " EGL displays has an OpenGL context, the last error is ",
                              Hex(egl.get_error())));
}

}  // namespace pompc::env
