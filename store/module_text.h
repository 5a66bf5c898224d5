// A module as it is in force, as YAML for people: `/config` and the debug output of /probe.
#pragma once

#include <string>
#include <string_view>

#include "engine/contract/config_node.h"

namespace sonde {

// Two blanks a level, ends with a line end. Every prober's block is there with its defaults, also
// those the module does not use; secrets read `<secret>`, a password in a proxy's URL `xxxxx`
// (blackbox_contract 2.4). Any thread.
std::string ModuleText(const ConfigNode& module);

// Any other part of a file: nothing is added, and the same things are masked.
std::string NodeText(const ConfigNode& node);

// A scalar that reads back as this text.
std::string YamlScalar(std::string_view text);

// Every line of `text` moved to the right.
std::string Indented(std::string_view text, size_t blanks);

}  // namespace sonde
