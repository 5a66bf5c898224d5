#include "engine/contract/label_name.h"

#include <algorithm>
#include <array>

namespace sonde {
namespace {

constexpr std::array<std::string_view, 22> kReserved = {
    // of every task
    "name", "type", "target", "application",
    // of a family
    "phase", "reason", "window", "status", "stat", "le", "quantile", "version", "cipher",
    "fingerprint_sha256", "issuer", "subject", "subjectalternative", "serialnumber", "result",
    // of the process's own families about tasks
    "shard", "outcome", "state"};

}  // namespace

bool IsLegalLabelName(std::string_view name) {
  const auto letter = [](char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool IsReservedLabel(std::string_view name) {
  return name.starts_with("__") ||
         std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

}  // namespace sonde
