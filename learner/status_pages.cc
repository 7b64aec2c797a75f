#include "learner/status_pages.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "learner/status/videos.h"

namespace pompc::learner {
namespace {

constexpr char kHtml[] = "text/html; charset=utf-8";
constexpr char kJson[] = "application/json; charset=utf-8";

}  // namespace

void AddStatusPages(HttpServer& http, std::function<std::shared_ptr<const App>()> app) {
  for (const char* path : {"/", "/status"}) {
    http.AddPage(path, [app] {
      const std::shared_ptr<const App> alive = app();
      return HttpPage{kHtml, alive ? alive->StatusPage() : ""};
    });
  }
  http.AddPage("/status.json", [app] {
    const std::shared_ptr<const App> alive = app();
    return HttpPage{kJson, alive ? alive->StatusJson() : "{}"};
  });
  for (size_t i = 0; i < kMaxVideos; ++i) {
    http.AddPage(absl::StrCat("/", VideoPath(i)), [app, i] {
      const std::shared_ptr<const App> alive = app();
      return alive ? alive->StatusVideo(i) : HttpPage{};
    });
  }
}

}  // namespace pompc::learner
