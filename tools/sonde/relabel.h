// Prometheus' relabel_configs: what they make of the labels of a target. Values; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"
#include "protocols/regex.h"

namespace sonde {

// A label with an empty value is none.
using LabelMap = std::map<std::string, std::string, std::less<>>;

class RelabelRule {
 public:
  // nullopt, and an error at its place, when the rule is not one Prometheus takes.
  static std::optional<RelabelRule> Read(const ConfigNode& node, const std::string& path,
                                         Diagnostics& diagnostics);

  // Changes the labels; false when the target is dropped.
  bool Apply(LabelMap* labels) const;

 private:
  using Action = bool (RelabelRule::*)(LabelMap* labels, std::string_view source) const;
  struct Word;
  static const Word* FindWord(std::string_view word);

  bool Replace(LabelMap* labels, std::string_view source) const;
  bool Keep(LabelMap* labels, std::string_view source) const;
  bool Drop(LabelMap* labels, std::string_view source) const;
  bool KeepEqual(LabelMap* labels, std::string_view source) const;
  bool DropEqual(LabelMap* labels, std::string_view source) const;
  bool HashMod(LabelMap* labels, std::string_view source) const;
  bool Lower(LabelMap* labels, std::string_view source) const;
  bool Upper(LabelMap* labels, std::string_view source) const;
  bool MapLabels(LabelMap* labels, std::string_view source) const;
  bool DropLabels(LabelMap* labels, std::string_view source) const;
  bool KeepLabels(LabelMap* labels, std::string_view source) const;

  bool Matches(std::string_view text) const;
  std::string Expanded(const std::string& text, const Regex::Groups& groups) const;

  Action action_ = nullptr;
  std::vector<std::string> source_labels_;
  std::string separator_ = ";", target_label_, replacement_ = "$1";
  std::shared_ptr<const Regex> regex_;  // anchored at both ends
  uint64_t modulus_ = 0;
};

// All the rules of a list; the bad ones are reported and left out.
std::vector<RelabelRule> ReadRelabelRules(const ConfigNode* list, const std::string& path,
                                          Diagnostics& diagnostics);

}  // namespace sonde
