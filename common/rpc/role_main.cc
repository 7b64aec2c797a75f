#include "common/rpc/role_main.h"

#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/io/descriptors.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "common/process/signals.h"
#include "common/rpc/endpoint.h"

namespace pompc::rpc {
namespace {

// Holds the role once it runs, so that the signal handler and /healthz may come earlier.
// Thread-safe.
class RoleSlot {
 public:
  // Stops the role at once if that was asked for before.
  void Put(RunningRole role) {
    bool stop = false;
    {
      MutexLock lock(&mu_);
      POMPC_CHECK(!started_, "a process has one role");
      POMPC_CHECK(role.stop != nullptr && role.wait != nullptr);
      role_ = std::move(role);
      started_ = true;
      stop = stop_asked_;
    }
    if (stop) Stop();
  }

  // Idempotent; returns when the role has stopped, or at once when there is none yet.
  void Stop() {
    // The role's own function runs without mu_: Health takes that, and a stop takes seconds.
    std::function<void()> stop;
    {
      MutexLock lock(&mu_);
      stop_asked_ = true;
      if (!started_) return;
      stop = role_.stop;
    }
    MutexLock lock(&stop_mu_);
    if (!std::exchange(stopped_, true)) stop();
  }

  absl::Status Health() {
    std::function<absl::Status()> health;
    {
      MutexLock lock(&mu_);
      if (stop_asked_) return absl::UnavailableError("stopping");
      if (!started_) return absl::UnavailableError("starting");
      health = role_.health;
    }
    return health ? health() : absl::OkStatus();
  }

 private:
  Mutex mu_;
  RunningRole role_ ABSL_GUARDED_BY(mu_);
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_asked_ ABSL_GUARDED_BY(mu_) = false;

  // Held while the role stops, which /healthz must not wait for.
  Mutex stop_mu_;
  bool stopped_ ABSL_GUARDED_BY(stop_mu_) = false;
};

void AddSharedFlags(const RoleDescription& description, RoleFlags& values, CLI::App& flags) {
  flags.set_version_flag("--version", absl::StrCat(description.program, " ", Version()));
  if (!description.listen.empty()) {
    flags.add_option("--listen", values.listen, "Address to serve RPCs on, host:port")
        ->envname("POMPC_LISTEN")
        ->capture_default_str();
  }
  flags
      .add_option("--metrics-listen", values.metrics_listen,
                  "Address to serve /metrics and /healthz on over HTTP; port 0 takes a free one")
      ->envname("POMPC_METRICS_LISTEN")
      ->capture_default_str();
  flags
      .add_option("--metrics-token-file", values.metrics_token_file,
                  "File with a token that requests for all pages but /healthz must have, as "
                  "'Authorization: Bearer TOKEN'")
      ->type_name("FILE")
      ->envname("POMPC_METRICS_TOKEN_FILE");
  AddCertificatesFlag(flags, &values.certificates);
  flags
      .add_flag("--insecure", values.insecure,
                "Allow addresses that other hosts can reach without --certificates: traffic is "
                "plaintext, and whoever reaches them may do everything")
      ->envname("POMPC_INSECURE");
  flags
      .add_option("--log-level", values.log_level,
                  "trace, debug, info, warning, error, critical or off")
      ->envname("POMPC_LOG_LEVEL")
      ->capture_default_str();
  flags
      .add_option("--log-format", values.log_format,
                  "text, or json: one object a line, with the run it belongs to")
      ->envname("POMPC_LOG_FORMAT")
      ->capture_default_str();
  flags.add_flag(
      "--healthcheck", values.healthcheck,
      description.listen.empty()
          ? "Check whether the process at --metrics-listen, which must include its port, "
            "is healthy, and exit with 0 if so"
          : "Ask the process that runs with these flags whether it is healthy, and exit "
            "with 0 if so");
}

absl::StatusOr<std::shared_ptr<const Certificates>> CertificatesOf(
    const RoleDescription& description, const RoleFlags& values) {
  POMPC_ASSIGN_OR_RETURN(auto certificates, LoadCertificates(values.certificates));
  if (certificates != nullptr && description.role != proto::Access::ROLE_UNSPECIFIED) {
    POMPC_RETURN_IF_ERROR(certificates->CheckRole(description.role));
  }
  return certificates;
}

// The server of the pages, which are read and change nothing: where calls are secured, they may be
// reached from elsewhere.
absl::StatusOr<HttpServerOptions> PagesOf(const RoleFlags& values) {
  HttpServerOptions pages = {.listen = values.metrics_listen};
  if (!values.metrics_token_file.empty()) {
    absl::StatusOr<std::string> token = ReadTokenFile(values.metrics_token_file);
    POMPC_RETURN_IF_ERROR(Annotate(token.status(), "--metrics-token-file"));
    pages.token = *std::move(token);
  }
  pages.allow_remote = values.insecure || !values.certificates.empty() || !pages.token.empty();
  return pages;
}

// The flags as they are in effect, on one line.
std::string EffectiveFlags(const CLI::App& flags) {
  std::vector<std::string> given;
  for (absl::string_view line :
       absl::StrSplit(flags.config_to_str(true), '\n', absl::SkipEmpty())) {
    given.push_back(absl::StrCat("--", line));
  }
  return absl::StrJoin(given, " ");
}

}  // namespace

RoleMain::RoleMain(RoleDescription description)
    : description_(std::move(description)),
      flags_(std::make_unique<CLI::App>(description_.summary, description_.program)) {
  POMPC_CHECK(!description_.program.empty());
  values_.listen = description_.listen;
  values_.metrics_listen = description_.metrics_listen;
  flags_->footer(
      absl::StrCat("Flags can also come from the environment, under the names given.\n"
                   "Exit status: 0 on success, 2 for flags and values that are refused, "
                   "1 for any other error.\n",
                   description_.examples));
  AddSharedFlags(description_, values_, *flags_);
}

RoleMain::~RoleMain() = default;

CLI::App& RoleMain::flags() { return *flags_; }

int RoleMain::Run(int argc, char** argv,
                  const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start) {
  return RunProgram(description_.program, [&] { return RunProcess(argc, argv, start); });
}

int RoleMain::RunProcess(
    int argc, char** argv,
    const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start) {
  // Before the first thread: threads inherit the mask of the one that starts them, and signals are
  // for the thread of SignalHandler alone.
  BlockSignals();
  absl::Status status;
  try {
    flags_->parse(argc, argv);
    status = RunRole(start);
  } catch (const CLI::ParseError& error) {
    // Prints the help, the version or what is wrong.
    if (flags_->exit(error) != 0) return 2;
    status = FlushStandardOutput();
  }
  if (status.ok()) return 0;
  LogFailure(description_.program, status.message());
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

absl::Status RoleMain::RunRole(
    const std::function<absl::StatusOr<RunningRole>(const RoleContext&)>& start) {
  POMPC_RETURN_IF_ERROR(SetUpLogging(
      {.role = description_.program, .level = values_.log_level, .format = values_.log_format}));
  RaiseDescriptorLimit();
  POMPC_ASSIGN_OR_RETURN(const std::shared_ptr<const Certificates> certificates,
                         CertificatesOf(description_, values_));
  // The same binary asks, as containers without a shell and without curl need it.
  if (values_.healthcheck) {
    if (!values_.listen.empty()) {
      return CheckHealth(values_.listen, description_.health_service, certificates);
    }
    if (absl::EndsWith(values_.metrics_listen, ":0")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--healthcheck contacts the process at --metrics-listen; ",
                       values_.metrics_listen, " has no port; give the port that it listens on"));
    }
    return HttpGet(values_.metrics_listen, "/healthz").status();
  }
  POMPC_RETURN_IF_ERROR(CheckDescriptorLimit());
  Log().info("version {}, {}", Version(), EffectiveFlags(*flags_));
  // The pages come before the role: one that takes long to start (a model, a large checkpoint) says
  // "starting" meanwhile, and a supervisor does not take it for dead.
  RoleSlot slot;
  auto metrics = std::make_shared<MetricsRegistry>();
  const MetricSource process = AddProcessMetrics(*metrics, description_.program);
  MetricSource expiry;
  if (certificates != nullptr) expiry = AddCertificateMetrics(*metrics, certificates);
  POMPC_ASSIGN_OR_RETURN(HttpServerOptions pages, PagesOf(values_));
  pages.metrics = metrics;
  pages.health = [&slot] { return slot.Health(); };
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> http,
                         HttpServer::Start(std::move(pages)));
  Log().info("metrics on http://{}/metrics", http->address());
  SignalHandler signals([&slot](int signal) {
    Log().info("{}: stopping; SIGTERM or SIGINT from now on stops at once", StopReason(signal));
    slot.Stop();
  });
  // A role that serves nothing has channels all the same.
  POMPC_RETURN_IF_ERROR(SetUpGrpc());
  POMPC_ASSIGN_OR_RETURN(RunningRole role,
                         start(RoleContext{values_, metrics, *http, certificates}));
  // This thread waits outside of the slot, through which a signal may stop the role meanwhile.
  const std::function<absl::Status()> wait = role.wait;
  slot.Put(std::move(role));
  const absl::Status status = wait();
  slot.Stop();
  Log().info("ended: {}", status.ok() ? "ok" : std::string(status.message()));
  return status;
}

}  // namespace pompc::rpc
