#include "exporter/label_text.h"

#include <algorithm>

namespace sonde {
namespace {

void AppendUnescaped(std::string* out, std::string_view value) {
  while (!value.empty()) {
    const size_t plain = std::min(value.find('\\'), value.size());
    out->append(value.substr(0, plain));
    value.remove_prefix(plain);
    if (value.size() < 2) return;
    out->push_back(value[1] == 'n' ? '\n' : value[1]);
    value.remove_prefix(2);
  }
}

// Where the closing quote of a value stands that `text` begins with; its size without one.
size_t EndOfValue(std::string_view text, bool* escaped) {
  *escaped = false;
  for (size_t at = 0;; ++at) {
    const size_t quote = std::min(text.find('"', at), text.size());
    const size_t backslash = text.substr(0, quote).find('\\', at);
    if (backslash == std::string_view::npos) return quote;
    *escaped = true;
    at = backslash + 1;  // the byte after it means itself
    if (at >= text.size()) return text.size();
  }
}

}  // namespace

bool LabelReader::Next() {
  constexpr std::string_view kOpening = "=\"";
  while (rest_.starts_with(',')) rest_.remove_prefix(1);
  const size_t equals = rest_.find(kOpening);
  if (equals == std::string_view::npos) return false;
  const size_t first = equals + kOpening.size();
  bool escaped = false;
  const size_t length = EndOfValue(rest_.substr(first), &escaped);
  name_ = rest_.substr(0, equals);
  value_ = rest_.substr(first, length);
  written_ = rest_.substr(0, first + length + 1);
  if (escaped) {
    unescaped_.clear();
    AppendUnescaped(&unescaped_, value_);
    value_ = unescaped_;
  }
  rest_.remove_prefix(written_.size());
  return true;
}

bool HasLabel(std::string_view block, std::string_view name) {
  LabelReader label(block);
  while (label.Next()) {
    if (label.name() == name) return true;
  }
  return false;
}

}  // namespace sonde
