// Which outcome an errno of a socket call stands for.
#pragma once

#include "engine/contract/outcome.h"

namespace sonde {

// While connecting. Local routing errors (ENETUNREACH and the like) are answers: failures of the
// network. What the prober itself lacks (ports, descriptors, memory) is inconclusive.
Outcome ConnectOutcome(int error);

// The errno in words; static storage.
const char* ErrorText(int error);

}  // namespace sonde
