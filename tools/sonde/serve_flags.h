// The flags of `sonde serve`, and of `sonde` without a subcommand: blackbox_exporter's, and ours.
// Each is an environment variable too: --web.listen-address is SONDE_WEB_LISTEN_ADDRESS.
#pragma once

#include <CLI/CLI.hpp>

#include "tools/sonde/serve.h"

namespace sonde {

void AddServeFlags(CLI::App* serve, ServeOptions* options);

}  // namespace sonde
