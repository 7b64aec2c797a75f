#include "cli/commands/command.h"
#include "common/process/program.h"

int main(int argc, char** argv) {
  return pompc::RunProgram("pompc", [argc, argv] { return pompc::cli::RunPompc(argc, argv); });
}
