#include "protocols/template_text.h"

#include <re2/re2.h>

#include <algorithm>

namespace sonde {
namespace {

struct Reference {
  std::string_view name;
  size_t length = 0;  // of what stands after the `$`
};

// The name after a `$`; nullopt-like (length 0) when none follows, and then the `$` stays.
Reference ReadReference(std::string_view rest) {
  static const re2::RE2 kName("^[\\pL\\p{Nd}_]+");
  const bool brace = !rest.empty() && rest[0] == '{';
  const std::string_view at = rest.substr(brace ? 1 : 0);
  re2::StringPiece name;
  if (!kName.Match(re2::StringPiece(at.data(), at.size()), 0, at.size(), re2::RE2::UNANCHORED,
                   &name, 1)) {
    return {};
  }
  if (!brace) return {at.substr(0, name.size()), name.size()};
  if (name.size() >= at.size() || at[name.size()] != '}') return {};
  return {at.substr(0, name.size()), name.size() + 2};
}

// "12" -> 12; -1 for what is a name: anything else, leading zeros, and numbers beyond 1e8.
int GroupNumber(std::string_view name) {
  if (name.size() > 1 && name[0] == '0') return -1;
  int number = 0;
  for (const char c : name) {
    if (c < '0' || c > '9' || number >= 100'000'000) return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

// Empty: there is no such group, and the reference expands to nothing.
std::vector<int> GroupsMeant(std::string_view name, const Regex& regex) {
  const int number = GroupNumber(name);
  if (number < 0) return regex.GroupsNamed(name);
  if (static_cast<size_t>(number) > regex.group_count()) return {};
  return {number};
}

}  // namespace

void TemplateText::AddLiteral(std::string_view text) {
  if (text.empty()) return;
  if (parts_.empty() || !parts_.back().groups.empty()) parts_.emplace_back();
  parts_.back().literal.append(text);
}

bool TemplateText::Parse(std::string_view text, const Regex& regex, TemplateText* out,
                         std::string* error) {
  TemplateText result;
  while (!text.empty()) {
    const size_t dollar = std::min(text.find('$'), text.size());
    result.AddLiteral(text.substr(0, dollar));
    text.remove_prefix(dollar);
    if (text.empty()) break;
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '$') {
      result.AddLiteral("$");
      text.remove_prefix(1);
      continue;
    }
    const Reference reference = ReadReference(text);
    if (reference.length == 0) {
      result.AddLiteral("$");
      continue;
    }
    text.remove_prefix(reference.length);
    const std::vector<int> groups = GroupsMeant(reference.name, regex);
    if (groups.empty()) continue;
    if (static_cast<size_t>(groups.back()) >= Regex::kMaxGroups) {
      *error = "template refers to group " + std::to_string(groups.back()) + ", at most " +
               std::to_string(Regex::kMaxGroups - 1) + " can be used";
      return false;
    }
    result.parts_.emplace_back().groups = groups;
  }
  *out = std::move(result);
  return true;
}

const std::string* TemplateText::constant() const {
  static const std::string kEmpty;
  if (parts_.empty()) return &kEmpty;
  return parts_.size() == 1 && parts_[0].groups.empty() ? &parts_[0].literal : nullptr;
}

std::string TemplateText::Expand(std::span<const std::string_view> groups) const {
  std::string text;
  Expand(groups, [&text](std::string_view part) { text.append(part); });
  return text;
}

}  // namespace sonde
