// Input: pattern, newline, template, newline, text. Whatever compiles is matched and expanded; an
// expansion without references is the template's constant.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/template_text.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

std::string_view TakeLine(std::string_view* rest) {
  const size_t end = rest->find('\n');
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sonde;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view pattern = TakeLine(&text);
  const std::string_view form = TakeLine(&text);
  if (pattern.size() > 200) return 0;
  std::string error;
  const auto regex = Regex::Compile(pattern, &error);
  Require((regex == nullptr) == !error.empty());
  if (!regex) return 0;
  TemplateText parsed;
  if (!TemplateText::Parse(form, *regex, &parsed, &error)) {
    Require(!error.empty());
    return 0;
  }
  if (form.find('$') == std::string_view::npos) {
    Require(parsed.constant() && *parsed.constant() == form);
  }
  Regex::Groups groups;
  const bool matched = regex->Match(0, text, &groups);
  Require(matched == regex->Match(1, text));
  if (!matched) return 0;
  for (const std::string_view group : groups) {
    Require(!group.data() || (group.data() >= text.data() &&
                              group.data() + group.size() <= text.data() + text.size()));
  }
  const std::string expanded = parsed.Expand(groups);
  if (parsed.constant()) Require(expanded == *parsed.constant());
  return 0;
}
