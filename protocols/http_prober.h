// The http protocol (blackbox_contract 4.5, 7.2, 8.1; for users: docs/http.md).
#pragma once

#include "engine/contract/task.h"

namespace sonde {

const Prober& HttpProber();

}  // namespace sonde
