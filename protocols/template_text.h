// Text with references to the groups of a match, in Go's regexp.Expand form (blackbox_contract
// 4.2): $1, ${1}, $name, ${name}, $$. Unknown and unmatched groups expand to nothing; a `$` that
// no name follows stays.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/regex.h"

namespace sonde {

// Parsed at load against the pattern whose groups it uses; immutable, any thread.
class TemplateText {
 public:
  TemplateText() = default;  // expands to nothing

  // False only when a group beyond Regex::kMaxGroups is named, which `*error` then says.
  static bool Parse(std::string_view text, const Regex& regex, TemplateText* out,
                    std::string* error);

  bool empty() const { return parts_.empty(); }
  // Without references: the whole text. nullptr when there are any.
  const std::string* constant() const;

  // Calls sink(std::string_view) with the pieces in order. `groups` as Regex::Match filled them.
  template <typename Sink>
  void Expand(std::span<const std::string_view> groups, Sink&& sink) const {
    for (const Part& part : parts_) {
      if (part.groups.empty()) sink(std::string_view(part.literal));
      for (const int group : part.groups) {
        if (static_cast<size_t>(group) >= groups.size()) continue;
        const std::string_view text = groups[static_cast<size_t>(group)];
        if (!text.data()) continue;  // did not take part in the match
        sink(text);
        break;
      }
    }
  }
  std::string Expand(std::span<const std::string_view> groups) const;

 private:
  struct Part {
    std::vector<int> groups;  // the first that matched counts; none: `literal`
    std::string literal;
  };
  void AddLiteral(std::string_view text);

  std::vector<Part> parts_;  // neighbouring literals are joined
};

}  // namespace sonde
