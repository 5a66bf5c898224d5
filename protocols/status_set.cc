#include "protocols/status_set.h"

#include <optional>
#include <string>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

std::optional<unsigned> Code(std::string_view text) {
  if (text.size() != 3) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value >= 100 ? std::optional(value) : std::nullopt;
}

}  // namespace

void StatusSet::AddRange(unsigned first, unsigned last) {
  for (unsigned code = first; code <= last; ++code) codes_.set(code);
}

bool StatusSet::Add(std::string_view text) {
  if (const auto code = Code(text)) {
    AddRange(*code, *code);
    return true;
  }
  const std::string_view end = text.size() == 3 ? text.substr(1) : std::string_view();
  if ((end == "xx" || end == "XX") && text[0] >= '1' && text[0] <= '9') {
    const unsigned first = static_cast<unsigned>(text[0] - '0') * 100;
    AddRange(first, first + 99);
    return true;
  }
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto first = Code(text.substr(0, dash));
  const auto last = Code(text.substr(dash + 1));
  if (!first || !last || *first > *last) return false;
  AddRange(*first, *last);
  return true;
}

bool StatusSet::Read(ConfigReader& in, std::string_view key, StatusSet* out) {
  const ConfigNode* node = in.Node(key);
  if (!node) return false;
  bool good = true;
  const auto one = [&](const ConfigNode& item) {
    const bool scalar = item.kind == ConfigNode::Kind::kScalar;
    const std::string text = scalar ? Quote(item.text) : "this";
    const bool number = scalar && ParseInteger(item.text).has_value();
    if (scalar && !(number && item.quoted) && out->Add(item.text)) return;
    if (number && !item.quoted) {  // as in blackbox_exporter
      in.Warn(key, text + " is a status no answer has");
      return;
    }
    good = false;
    in.diagnostics().Error(
        item.mark, in.PathOf(key),
        text + " is not a status code (200), a class (2xx) or a range (200-299)");
  };
  if (node->kind == ConfigNode::Kind::kSequence) {
    for (const ConfigNode& item : node->items) one(item);
  } else {
    one(*node);
  }
  return good;
}

StatusSet StatusSet::Success() {
  StatusSet set;
  set.AddRange(200, 299);
  return set;
}

}  // namespace sonde
