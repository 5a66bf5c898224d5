#include "tools/sonde/relabel.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "engine/contract/label_name.h"
#include "engine/contract/scalar_text.h"
#include "protocols/template_text.h"

namespace sonde {
namespace {

constexpr std::string_view kAnyText = "(.*)";

std::string_view ValueOf(const LabelMap& labels, std::string_view name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

void Set(LabelMap* labels, const std::string& name, std::string value) {
  if (value.empty()) {
    labels->erase(name);
  } else {
    (*labels)[name] = std::move(value);
  }
}

// ASCII, as label values of targets are.
std::string InCase(std::string_view text, char from, char to, int shift) {
  std::string out(text);
  for (char& c : out) {
    if (c >= from && c <= to) c = static_cast<char>(c + shift);
  }
  return out;
}

}  // namespace

// An action's name, what it does and whether it needs a target_label.
struct RelabelRule::Word {
  std::string_view name;
  Action action;
  bool needs_target;
};

const RelabelRule::Word* RelabelRule::FindWord(std::string_view word) {
  static constexpr std::array<Word, 11> kWords = {{
      {"replace", &RelabelRule::Replace, true},
      {"keep", &RelabelRule::Keep, false},
      {"drop", &RelabelRule::Drop, false},
      {"keepequal", &RelabelRule::KeepEqual, true},
      {"dropequal", &RelabelRule::DropEqual, true},
      {"hashmod", &RelabelRule::HashMod, true},
      {"lowercase", &RelabelRule::Lower, true},
      {"uppercase", &RelabelRule::Upper, true},
      {"labelmap", &RelabelRule::MapLabels, false},
      {"labeldrop", &RelabelRule::DropLabels, false},
      {"labelkeep", &RelabelRule::KeepLabels, false},
  }};
  const auto found = std::find_if(kWords.begin(), kWords.end(),
                                  [word](const Word& known) { return known.name == word; });
  return found == kWords.end() ? nullptr : &*found;
}

std::optional<RelabelRule> RelabelRule::Read(const ConfigNode& node, const std::string& path,
                                             Diagnostics& diagnostics) {
  const size_t errors = diagnostics.errors();
  ConfigReader in(&node, path, diagnostics);
  RelabelRule rule;
  std::string action = "replace", pattern(kAnyText);
  in.String("action", &action);
  in.StringList("source_labels", &rule.source_labels_);
  in.String("separator", &rule.separator_);
  in.String("target_label", &rule.target_label_);
  in.String("replacement", &rule.replacement_);
  in.String("regex", &pattern);
  int64_t modulus = 0;
  in.Int("modulus", &modulus, 0, std::numeric_limits<int64_t>::max());
  rule.modulus_ = static_cast<uint64_t>(modulus);
  in.Finish();
  const Word* word = FindWord(InCase(action, 'A', 'Z', 'a' - 'A'));
  if (word == nullptr) {
    in.Error("action", "there is no action " + Quote(action));
    return std::nullopt;
  }
  rule.action_ = word->action;
  if (word->needs_target && rule.target_label_.empty()) { in.Error("target_label", "is missing"); }
  if (word->action == &RelabelRule::HashMod && rule.modulus_ == 0) {
    in.Error("modulus", "must be above 0");
  }
  std::string fault;
  rule.regex_ = Regex::Compile("^(?s:" + pattern + ")$", &fault);
  TemplateText unused;
  if (rule.regex_ == nullptr) {
    in.Error("regex", fault);
  } else if (!TemplateText::Parse(rule.replacement_, *rule.regex_, &unused, &fault)) {
    in.Error("replacement", fault);
  } else if (!TemplateText::Parse(rule.target_label_, *rule.regex_, &unused, &fault)) {
    in.Error("target_label", fault);
  }
  if (diagnostics.errors() > errors) return std::nullopt;
  return rule;
}

bool RelabelRule::Apply(LabelMap* labels) const {
  std::string source;
  for (size_t i = 0; i < source_labels_.size(); ++i) {
    if (i > 0) source += separator_;
    source += ValueOf(*labels, source_labels_[i]);
  }
  return (this->*action_)(labels, source);
}

bool RelabelRule::Matches(std::string_view text) const { return regex_->Match(0, text); }

std::string RelabelRule::Expanded(const std::string& text, const Regex::Groups& groups) const {
  TemplateText parsed;
  std::string unused;
  TemplateText::Parse(text, *regex_, &parsed, &unused);  // good: it was when it was read
  return parsed.Expand(groups);
}

bool RelabelRule::Replace(LabelMap* labels, std::string_view source) const {
  Regex::Groups groups;
  if (!regex_->Match(0, source, &groups)) return true;
  const std::string target = Expanded(target_label_, groups);
  if (IsLegalLabelName(target)) Set(labels, target, Expanded(replacement_, groups));
  return true;
}

bool RelabelRule::Keep(LabelMap*, std::string_view source) const { return Matches(source); }

bool RelabelRule::Drop(LabelMap*, std::string_view source) const { return !Matches(source); }

bool RelabelRule::KeepEqual(LabelMap* labels, std::string_view source) const {
  return ValueOf(*labels, target_label_) == source;
}

bool RelabelRule::DropEqual(LabelMap* labels, std::string_view source) const {
  return ValueOf(*labels, target_label_) != source;
}

// The last eight bytes of the MD5 sum as a number, highest byte first.
bool RelabelRule::HashMod(LabelMap* labels, std::string_view source) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned size = 0;
  EVP_Digest(source.data(), source.size(), sum.data(), &size, EVP_md5(), nullptr);
  uint64_t number = 0;
  for (size_t i = 8; i < 16; ++i) number = number << 8 | sum[i];
  Set(labels, target_label_, std::to_string(number % modulus_));
  return true;
}

bool RelabelRule::Lower(LabelMap* labels, std::string_view source) const {
  Set(labels, target_label_, InCase(source, 'A', 'Z', 'a' - 'A'));
  return true;
}

bool RelabelRule::Upper(LabelMap* labels, std::string_view source) const {
  Set(labels, target_label_, InCase(source, 'a', 'z', 'A' - 'a'));
  return true;
}

bool RelabelRule::MapLabels(LabelMap* labels, std::string_view) const {
  LabelMap mapped;
  for (const auto& [name, value] : *labels) {
    Regex::Groups groups;
    if (regex_->Match(0, name, &groups)) mapped[Expanded(replacement_, groups)] = value;
  }
  for (auto& [name, value] : mapped) Set(labels, name, std::move(value));
  return true;
}

bool RelabelRule::DropLabels(LabelMap* labels, std::string_view) const {
  std::erase_if(*labels, [this](const auto& label) { return Matches(label.first); });
  return true;
}

bool RelabelRule::KeepLabels(LabelMap* labels, std::string_view) const {
  std::erase_if(*labels, [this](const auto& label) { return !Matches(label.first); });
  return true;
}

std::vector<RelabelRule> ReadRelabelRules(const ConfigNode* list, const std::string& path,
                                          Diagnostics& diagnostics) {
  std::vector<RelabelRule> rules;
  if (list == nullptr) return rules;
  for (size_t i = 0; i < list->items.size(); ++i) {
    auto rule =
        RelabelRule::Read(list->items[i], path + "[" + std::to_string(i) + "]", diagnostics);
    if (rule) rules.push_back(*std::move(rule));
  }
  return rules;
}

}  // namespace sonde
