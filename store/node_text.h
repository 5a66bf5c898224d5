// A tree as bytes: equal bytes, equal trees (places aside, order of keys counts).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/contract/config_node.h"

namespace sonde {

// Every part carries its length, so that no two sequences of parts give the same bytes.
void AppendPart(uint64_t number, std::string* out);
void AppendPart(std::string_view text, std::string* out);
void AppendPart(const ConfigNode* node, std::string* out);  // null reads as kNull

}  // namespace sonde
