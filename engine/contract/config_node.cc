#include "engine/contract/config_node.h"

#include <algorithm>
#include <cmath>

#include "engine/contract/duration_text.h"
#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

std::string_view KindName(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull:
      return "nothing";
    case ConfigNode::Kind::kScalar:
      return "a single value";
    case ConfigNode::Kind::kSequence:
      return "a list";
    case ConfigNode::Kind::kMapping:
      return "a mapping";
  }
  return "";
}

std::string WrongKind(std::string_view wanted, const ConfigNode& node) {
  std::string message = "must be " + std::string(wanted) + ", not ";
  if (node.kind != ConfigNode::Kind::kScalar) return message + std::string(KindName(node));
  return message + (node.quoted ? "the text " : "") + Quote(node.text);
}

// A number for a message, without a tail of zeros.
std::string Plain(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) {
    return std::to_string(static_cast<int64_t>(value));
  }
  std::string text = std::to_string(value);
  while (text.size() > 1 && text.back() == '0') text.pop_back();
  return text;
}

template <typename Value, typename Print>
std::string OutOfRange(Value least, Value most, Value no_least, Value no_most, Print print) {
  if (most == no_most) return "must be at least " + print(least);
  if (least == no_least) return "must be at most " + print(most);
  return "must be between " + print(least) + " and " + print(most);
}

}  // namespace

const ConfigNode* ConfigNode::Find(std::string_view key) const {
  for (const ConfigEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

void Diagnostics::Error(Mark mark, std::string_view path, std::string message) {
  ++errors_;
  Keep(true, mark, path, std::move(message));
}

void Diagnostics::Warn(Mark mark, std::string_view path, std::string message) {
  Keep(false, mark, path, std::move(message));
}

void Diagnostics::Keep(bool is_error, Mark mark, std::string_view path, std::string message) {
  if (all_.size() >= kKept) return;
  all_.push_back({is_error, mark, file_, std::string(path), std::move(message)});
}

std::string Diagnostics::ToString(std::string_view file) const {
  std::string text;
  size_t shown = 0;
  for (const Diagnostic& diagnostic : all_) {
    const std::string_view where = diagnostic.file.empty() ? file : diagnostic.file;
    if (!where.empty()) text.append(where).append(":");
    if (diagnostic.mark.line != 0) {
      text +=
          std::to_string(diagnostic.mark.line) + ":" + std::to_string(diagnostic.mark.column) + ":";
    }
    if (!text.empty() && text.back() == ':') text += " ";
    if (!diagnostic.is_error) text += "warning: ";
    if (!diagnostic.path.empty()) text += diagnostic.path + ": ";
    text += diagnostic.message + "\n";
    if (diagnostic.is_error) ++shown;
  }
  if (errors_ > shown) text += "and " + std::to_string(errors_ - shown) + " errors more\n";
  return text;
}

ConfigReader::ConfigReader(const ConfigNode* node, std::string path, Diagnostics& diagnostics)
    : node_(node), path_(std::move(path)), diagnostics_(diagnostics) {
  if (node_ == nullptr || node_->kind == ConfigNode::Kind::kMapping) return;
  if (node_->kind != ConfigNode::Kind::kNull) {
    diagnostics_.Error(node_->mark, path_, WrongKind("a mapping", *node_));
  }
  node_ = nullptr;
}

const ConfigEntry* ConfigReader::Entry(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  if (node_ == nullptr) return nullptr;
  for (const ConfigEntry& entry : node_->entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

const ConfigNode* ConfigReader::Node(std::string_view key) {
  const ConfigEntry* entry = Entry(key);
  if (entry == nullptr || entry->value.kind == ConfigNode::Kind::kNull) return nullptr;
  return &entry->value;
}

bool ConfigReader::Has(std::string_view key) { return Node(key) != nullptr; }

const ConfigNode* ConfigReader::Mapping(std::string_view key) {
  const ConfigNode* node = Node(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::kMapping) return node;
  diagnostics_.Error(node->mark, PathOf(key), WrongKind("a mapping", *node));
  return nullptr;
}

const ConfigNode* ConfigReader::Sequence(std::string_view key) {
  const ConfigNode* node = Node(key);
  if (node == nullptr || node->kind == ConfigNode::Kind::kSequence) return node;
  diagnostics_.Error(node->mark, PathOf(key), WrongKind("a list", *node));
  return nullptr;
}

bool ConfigReader::String(std::string_view key, std::string* out) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  if (node->kind != ConfigNode::Kind::kScalar) {
    diagnostics_.Error(node->mark, PathOf(key), WrongKind("text", *node));
    return false;
  }
  *out = std::string(node->text);  // a million of them stay: without room to grow
  return true;
}

bool ConfigReader::Bool(std::string_view key, bool* out) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  const auto value = node->kind == ConfigNode::Kind::kScalar && !node->quoted
                         ? ParseBoolWord(node->text)
                         : std::nullopt;
  if (!value) {
    diagnostics_.Error(node->mark, PathOf(key), WrongKind("true or false", *node));
    return false;
  }
  *out = *value;
  return true;
}

bool ConfigReader::Int(std::string_view key, int64_t* out, int64_t least, int64_t most) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  const auto value = node->kind == ConfigNode::Kind::kScalar && !node->quoted
                         ? ParseInteger(node->text)
                         : std::nullopt;
  if (!value) {
    diagnostics_.Error(node->mark, PathOf(key), WrongKind("a whole number", *node));
    return false;
  }
  if (*value < least || *value > most) {
    diagnostics_.Error(node->mark, PathOf(key),
                       OutOfRange(least, most, INT64_MIN, INT64_MAX,
                                  [](int64_t bound) { return std::to_string(bound); }));
    return false;
  }
  *out = *value;
  return true;
}

bool ConfigReader::Number(std::string_view key, double* out, double least, double most) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  const auto value = node->kind == ConfigNode::Kind::kScalar && !node->quoted
                         ? ParseReal(node->text)
                         : std::nullopt;
  if (!value || std::isnan(*value)) {
    diagnostics_.Error(node->mark, PathOf(key), WrongKind("a number", *node));
    return false;
  }
  if (*value < least || *value > most) {
    diagnostics_.Error(node->mark, PathOf(key),
                       OutOfRange(least, most, -HUGE_VAL, HUGE_VAL, Plain));
    return false;
  }
  *out = *value;
  return true;
}

bool ConfigReader::StringList(std::string_view key, std::vector<std::string>* out) {
  const ConfigNode* node = Sequence(key);
  if (node == nullptr) return false;
  std::vector<std::string> list;
  list.reserve(node->items.size());
  bool good = true;
  for (size_t i = 0; i < node->items.size(); ++i) {
    const ConfigNode& item = node->items[i];
    if (item.kind == ConfigNode::Kind::kScalar || item.kind == ConfigNode::Kind::kNull) {
      list.emplace_back(item.text);
      continue;
    }
    good = false;
    diagnostics_.Error(item.mark, PathOf(key) + "[" + std::to_string(i) + "]",
                       WrongKind("text", item));
  }
  if (good) *out = std::move(list);
  return good;
}

bool ConfigReader::StringMap(std::string_view key,
                             std::vector<std::pair<std::string, std::string>>* out) {
  const ConfigNode* node = Mapping(key);
  if (node == nullptr) return false;
  std::vector<std::pair<std::string, std::string>> map;
  map.reserve(node->entries.size());
  bool good = true;
  for (const ConfigEntry& entry : node->entries) {
    const ConfigNode& value = entry.value;
    if (value.kind == ConfigNode::Kind::kScalar || value.kind == ConfigNode::Kind::kNull) {
      map.emplace_back(entry.key, value.text);
      continue;
    }
    good = false;
    diagnostics_.Error(value.mark, PathOf(key) + "." + std::string(entry.key),
                       WrongKind("text", value));
  }
  if (good) *out = std::move(map);
  return good;
}

bool ConfigReader::Time(std::string_view key, Duration* out, bool days) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  const std::string wanted =
      std::string("a duration such as 300ms, 5s or 1m30s") + (days ? " or 1d" : "");
  if (node->kind != ConfigNode::Kind::kScalar) {
    diagnostics_.Error(node->mark, PathOf(key), WrongKind(wanted, *node));
    return false;
  }
  const auto value = ParseDuration(node->text, days);
  // A bare number is an error even where it is 0: an unquoted 0 is a number, not a duration.
  const bool number = !node->quoted && ParseReal(node->text).has_value();
  if (!value || number) {
    std::string message = WrongKind(wanted, *node);
    if (number) message += " (the unit is missing)";
    if (!value && !days && ParseDuration(node->text, true))
      message += " (d and w are not units here)";
    diagnostics_.Error(node->mark, PathOf(key), std::move(message));
    return false;
  }
  *out = *value;
  return true;
}

bool ConfigReader::Size(std::string_view key, int64_t* out) {
  const ConfigNode* node = Node(key);
  if (node == nullptr) return false;
  const auto value = node->kind == ConfigNode::Kind::kScalar ? ParseSize(node->text) : std::nullopt;
  if (!value) {
    diagnostics_.Error(node->mark, PathOf(key),
                       WrongKind("a size such as 512B, 10KB or 1.5MiB", *node));
    return false;
  }
  *out = *value;
  return true;
}

void ConfigReader::Finish() {
  if (node_ == nullptr) return;
  for (const ConfigEntry& entry : node_->entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    if (diagnostics_.all().size() >= Diagnostics::kKept) {  // counted, and no text made for it
      diagnostics_.Error(entry.mark, "", "");
      continue;
    }
    diagnostics_.Error(entry.mark, path_,
                       "unknown key " + Quote(entry.key) + Suggestion(entry.key, known_));
  }
}

void ConfigReader::Error(std::string_view key, std::string message) {
  const ConfigEntry* entry = Entry(key);
  const Mark mark = entry != nullptr ? entry->mark : node_ != nullptr ? node_->mark : Mark{};
  diagnostics_.Error(mark, PathOf(key), std::move(message));
}

void ConfigReader::Warn(std::string_view key, std::string message) {
  const ConfigEntry* entry = Entry(key);
  const Mark mark = entry != nullptr ? entry->mark : node_ != nullptr ? node_->mark : Mark{};
  diagnostics_.Warn(mark, PathOf(key), std::move(message));
}

std::string ConfigReader::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

}  // namespace sonde
