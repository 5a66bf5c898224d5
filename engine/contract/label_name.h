// Names of labels: which are legal, and which are taken by series of ours.
#pragma once

#include <string_view>

namespace sonde {

// A label name of the Prometheus data model: [a-zA-Z_][a-zA-Z0-9_]*.
bool IsLegalLabelName(std::string_view name);

// True for every label a family of ours carries, and for names that begin with `__`, which
// Prometheus keeps for itself. A task's own label must not be one of them: the same name twice in
// one series makes a scrape fail. `instance` and `job` are free: Prometheus renames them.
bool IsReservedLabel(std::string_view name);

}  // namespace sonde
