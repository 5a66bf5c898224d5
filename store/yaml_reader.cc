#include "store/yaml_reader.h"

#include <yaml.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/contract/base64.h"
#include "engine/contract/scalar_text.h"
#include "store/text_places.h"

namespace sonde {
namespace {

using Kind = ConfigNode::Kind;

// A finished node and what it costs to walk it.
struct Value {
  ConfigNode node;
  uint64_t nodes = 1;   // aliases followed
  uint32_t height = 1;  // levels, aliases followed
};

struct Anchor {
  bool complete = false;
  Value value;
};

// A collection that is still open. Its children stand on the builder's stacks from `first` on.
struct Frame {
  bool mapping = false;
  Mark mark;
  size_t first = 0;         // into items_ or entries_
  size_t first_merge = 0;   // into merges_
  std::string_view anchor;  // in the arena; empty for none
  uint64_t nodes = 1;
  uint32_t height = 1;
  bool has_key = false;  // mapping: the next node is a value
  bool skip = false;     // the key was bad: its value is dropped
  bool merge = false;    // the key was `<<`
  bool merged = false;   // a `<<` was met
  std::string_view key;
  Mark key_mark;
};

std::string_view View(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// A parser and the event it last gave.
class Events {
 public:
  explicit Events(std::string_view text) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &parser_, reinterpret_cast<const unsigned char*>(text.empty() ? "" : text.data()),
        text.size());
  }
  ~Events() {
    Drop();
    if (ready_) yaml_parser_delete(&parser_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  bool Next() {
    Drop();
    held_ = ready_ && yaml_parser_parse(&parser_, &event_) != 0;
    return held_;
  }
  const yaml_event_t& event() const { return event_; }
  const yaml_parser_t& parser() const { return parser_; }

 private:
  void Drop() {
    if (held_) yaml_event_delete(&event_);
    held_ = false;
  }
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  bool ready_ = false, held_ = false;
};

class Builder {
 public:
  Builder(std::string_view text, const YamlLimits& limits, Arena& arena, Diagnostics& diagnostics)
      : limits_(limits), arena_(arena), diagnostics_(diagnostics), places_(text), events_(text) {}

  // False: the text could not be read to the document's end, and a diagnostic says why.
  bool Run(ConfigNode* root);

 private:
  bool OnEvent(const yaml_event_t& event);
  bool Scalar(const yaml_event_t& event);
  bool Alias(const yaml_event_t& event);
  bool Open(const yaml_event_t& event, bool mapping);
  void CloseSequence();
  void CloseMapping();

  bool ReadScalar(const yaml_event_t& event, ConfigNode* node, bool* merge);
  bool Deliver(const Value& value, bool merge_word);
  void TakeKey(Frame& frame, const Value& value, bool merge_word);
  void TakeMerge(const ConfigNode& node);
  void DropDuplicates(std::vector<ConfigEntry>& all, size_t own);
  void Complete(std::string_view anchor, const Value& value);
  bool Count(uint64_t nodes, Mark mark);

  void SyntaxError();
  void Error(Mark mark, std::string message) { diagnostics_.Error(mark, "", std::move(message)); }
  bool Fatal(Mark mark, std::string message) {
    Error(mark, std::move(message));
    return false;
  }
  Mark Place(const yaml_mark_t& mark) const { return places_.At(mark.line, mark.column); }

  const YamlLimits& limits_;
  Arena& arena_;
  Diagnostics& diagnostics_;
  TextPlaces places_;
  Events events_;

  std::vector<Frame> frames_;
  std::vector<ConfigNode> items_;                     // children of open sequences
  std::vector<ConfigEntry> entries_;                  // children of open mappings
  std::vector<std::span<const ConfigEntry>> merges_;  // of open mappings
  std::vector<ConfigEntry> merged_;                   // scratch of CloseMapping
  std::vector<uint32_t> order_;                       // scratch of DropDuplicates
  std::unordered_map<std::string_view, Anchor> anchors_;
  uint64_t nodes_ = 0;
  ConfigNode root_;
};

bool Builder::Run(ConfigNode* root) {
  bool document = false;
  while (events_.Next()) {
    const yaml_event_t& event = events_.event();
    if (event.type == YAML_STREAM_END_EVENT) {
      if (document) return true;
      return Fatal({1, 1}, "the file is empty (EOF)");
    }
    if (event.type == YAML_DOCUMENT_START_EVENT) {
      if (document) {
        diagnostics_.Warn(Place(event.start_mark), "", "only the first document is read");
        return true;
      }
      continue;
    }
    if (event.type == YAML_DOCUMENT_END_EVENT) {
      *root = root_;
      document = true;
      continue;
    }
    if (!OnEvent(event)) return false;
  }
  if (document) return true;  // what follows the first document is nobody's business
  SyntaxError();
  return false;
}

bool Builder::OnEvent(const yaml_event_t& event) {
  switch (event.type) {
    case YAML_SCALAR_EVENT:
      return Scalar(event);
    case YAML_ALIAS_EVENT:
      return Alias(event);
    case YAML_SEQUENCE_START_EVENT:
      return Open(event, false);
    case YAML_MAPPING_START_EVENT:
      return Open(event, true);
    case YAML_SEQUENCE_END_EVENT:
      CloseSequence();
      return true;
    case YAML_MAPPING_END_EVENT:
      CloseMapping();
      return true;
    default:
      return true;
  }
}

bool Builder::Count(uint64_t nodes, Mark mark) {
  nodes_ += nodes;
  if (nodes_ <= limits_.nodes) return true;
  return Fatal(mark, "more than " + std::to_string(limits_.nodes) +
                         " keys and values, each alias counted as what it stands for");
}

bool Builder::Scalar(const yaml_event_t& event) {
  Value value;
  value.node.mark = Place(event.start_mark);
  if (!Count(1, value.node.mark)) return false;
  bool merge = false;
  // A scalar with a bad tag stays as the text it is: one error is enough.
  ReadScalar(event, &value.node, &merge);
  if (event.data.scalar.anchor != nullptr) {
    Complete(arena_.Copy(View(event.data.scalar.anchor)), value);
  }
  return Deliver(value, merge);
}

bool Builder::ReadScalar(const yaml_event_t& event, ConfigNode* node, bool* merge) {
  static constexpr std::string_view kPrefix = "tag:yaml.org,2002:";
  const auto& scalar = event.data.scalar;
  const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
  const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
  const std::string_view tag = View(scalar.tag);
  node->kind = Kind::kScalar;
  node->quoted = !plain;
  node->text = arena_.Copy(text);
  if (tag.empty()) {
    if (plain && IsNullWord(text)) node->kind = Kind::kNull;
    *merge = plain && text == "<<";
    return true;
  }
  node->quoted = true;
  if (tag == "!") return true;
  const std::string_view word = tag.starts_with(kPrefix) ? tag.substr(kPrefix.size()) : "";
  bool good = true;
  if (word == "str" || word == "timestamp") {
    return true;
  } else if (word == "merge") {
    good = *merge = text == "<<";
  } else if (word == "null") {
    good = IsNullWord(text);
    node->kind = Kind::kNull;
  } else if (word == "int" || word == "float" || word == "bool") {
    node->quoted = false;
    good = word == "int"     ? ParseInteger(text).has_value()
           : word == "float" ? ParseReal(text).has_value()
                             : ParseBoolWord(text).has_value();
  } else if (word == "binary") {
    const auto bytes = DecodeBase64(text);
    good = bytes.has_value();
    if (good) node->text = arena_.Copy(*bytes);
  } else {
    Error(node->mark, "unknown tag " + Quote(tag));
    return false;
  }
  if (!good) Error(node->mark, "is not a !!" + std::string(word) + ": " + Quote(text));
  return good;
}

bool Builder::Alias(const yaml_event_t& event) {
  const std::string_view name = View(event.data.alias.anchor);
  const Mark mark = Place(event.start_mark);
  const auto found = anchors_.find(name);
  Value value;
  value.node.mark = mark;
  if (found == anchors_.end()) {
    Error(mark, "unknown alias " + Quote(name));
  } else if (!found->second.complete) {
    Error(mark, "alias " + Quote(name) + " stands within what it names");
  } else {
    value = found->second.value;
  }
  if (!Count(value.nodes, mark)) return false;
  if (frames_.size() + value.height > limits_.depth) {
    return Fatal(mark, "nested deeper than " + std::to_string(limits_.depth) + " levels");
  }
  return Deliver(value, false);
}

bool Builder::Open(const yaml_event_t& event, bool mapping) {
  static constexpr std::string_view kMap = "tag:yaml.org,2002:map", kSeq = "tag:yaml.org,2002:seq";
  const std::string_view tag =
      View(mapping ? event.data.mapping_start.tag : event.data.sequence_start.tag);
  const std::string_view anchor =
      View(mapping ? event.data.mapping_start.anchor : event.data.sequence_start.anchor);
  Frame frame;
  frame.mapping = mapping;
  frame.mark = Place(event.start_mark);
  if (!Count(1, frame.mark)) return false;
  if (frames_.size() + 1 > limits_.depth) {
    return Fatal(frame.mark, "nested deeper than " + std::to_string(limits_.depth) + " levels");
  }
  if (!tag.empty() && tag != "!" && tag != (mapping ? kMap : kSeq)) {
    Error(frame.mark, "unknown tag " + Quote(tag));
  }
  frame.first = mapping ? entries_.size() : items_.size();
  frame.first_merge = merges_.size();
  if (!anchor.empty()) {
    frame.anchor = arena_.Copy(anchor);
    anchors_[frame.anchor].complete = false;
  }
  frames_.push_back(frame);
  return true;
}

void Builder::Complete(std::string_view anchor, const Value& value) {
  anchors_[anchor] = {true, value};
}

void Builder::CloseSequence() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  Value value;
  value.node.kind = Kind::kSequence;
  value.node.mark = frame.mark;
  value.node.items = arena_.Copy(std::span<const ConfigNode>(items_).subspan(frame.first));
  value.nodes = frame.nodes;
  value.height = frame.height;
  items_.resize(frame.first);
  if (!frame.anchor.empty()) Complete(frame.anchor, value);
  Deliver(value, false);
}

void Builder::CloseMapping() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  merged_.assign(entries_.begin() + static_cast<ptrdiff_t>(frame.first), entries_.end());
  entries_.resize(frame.first);
  const size_t own = merged_.size();
  for (size_t i = frame.first_merge; i < merges_.size(); ++i) {
    merged_.insert(merged_.end(), merges_[i].begin(), merges_[i].end());
  }
  merges_.resize(frame.first_merge);
  DropDuplicates(merged_, own);
  Value value;
  value.node.kind = Kind::kMapping;
  value.node.mark = frame.mark;
  value.node.entries = arena_.Copy(std::span<const ConfigEntry>(merged_));
  value.nodes = frame.nodes;
  value.height = frame.height;
  if (!frame.anchor.empty()) Complete(frame.anchor, value);
  Deliver(value, false);
}

// The first `own` entries are the mapping's own, the rest came by merges, the stronger ones first.
// Of equal keys the first stays; two own ones are an error.
void Builder::DropDuplicates(std::vector<ConfigEntry>& all, size_t own) {
  constexpr size_t kFew = 16;  // below, comparing all pairs is faster than sorting
  if (all.size() <= kFew) {
    size_t kept = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      size_t j = 0;
      while (j < kept && all[j].key != all[i].key) ++j;
      if (j == kept) {
        all[kept++] = all[i];
      } else if (i < own) {
        Error(all[i].mark, "key " + Quote(all[i].key) + " is already given in line " +
                               std::to_string(all[j].mark.line));
      }
    }
    all.resize(kept);
    return;
  }
  order_.resize(all.size());
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<uint32_t>(i);
  std::sort(order_.begin(), order_.end(), [&all](uint32_t a, uint32_t b) {
    const int compared = all[a].key.compare(all[b].key);
    return compared != 0 ? compared < 0 : a < b;
  });
  size_t first = 0;  // of the run of equal keys
  std::vector<bool> drop;
  for (size_t i = 1; i < order_.size(); ++i) {
    if (all[order_[i]].key != all[order_[first]].key) {
      first = i;
      continue;
    }
    if (drop.empty()) drop.resize(all.size());
    drop[order_[i]] = true;
    if (order_[i] < own) {
      Error(all[order_[i]].mark, "key " + Quote(all[order_[i]].key) + " is already given in line " +
                                     std::to_string(all[order_[first]].mark.line));
    }
  }
  if (drop.empty()) return;
  size_t kept = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!drop[i]) all[kept++] = all[i];
  }
  all.resize(kept);
}

bool Builder::Deliver(const Value& value, bool merge_word) {
  if (frames_.empty()) {
    root_ = value.node;
    return true;
  }
  Frame& frame = frames_.back();
  frame.nodes += value.nodes;
  frame.height = std::max(frame.height, value.height + 1);
  if (!frame.mapping) {
    items_.push_back(value.node);
  } else if (!frame.has_key) {
    TakeKey(frame, value, merge_word);
  } else {
    frame.has_key = false;
    if (frame.merge) {
      TakeMerge(value.node);
    } else if (!frame.skip) {
      entries_.push_back({frame.key, frame.key_mark, value.node});
    }
  }
  return true;
}

void Builder::TakeKey(Frame& frame, const Value& value, bool merge_word) {
  const bool scalar = value.node.kind == Kind::kScalar || value.node.kind == Kind::kNull;
  if (!scalar) Error(value.node.mark, "a key must be a single value, not a collection");
  if (merge_word && frame.merged) Error(value.node.mark, "key '<<' is already given (use a list)");
  frame.merged = frame.merged || merge_word;
  frame.has_key = true;
  frame.skip = !scalar;
  frame.merge = merge_word;
  frame.key = value.node.text;
  frame.key_mark = value.node.mark;
}

void Builder::TakeMerge(const ConfigNode& node) {
  if (node.kind == Kind::kMapping) {
    merges_.push_back(node.entries);
    return;
  }
  const bool list = node.kind == Kind::kSequence &&
                    std::all_of(node.items.begin(), node.items.end(),
                                [](const ConfigNode& item) { return item.kind == Kind::kMapping; });
  if (!list) {
    Error(node.mark, "what '<<' merges must be a mapping or a list of mappings");
    return;
  }
  for (const ConfigNode& item : node.items) merges_.push_back(item.entries);
}

// What libyaml says about the commonest slips, and what would be right.
struct Advice {
  std::string_view problem, context, advice;
};
constexpr Advice kAdvice[] = {
    {"did not find expected alphabetic or numeric character", "while scanning an alias",
     "a value that begins with * must be quoted"},
    {"did not find expected alphabetic or numeric character", "while scanning an anchor",
     "a value that begins with & must be quoted"},
    {"found character that cannot start any token", "",
     "indent with blanks, and quote values that begin with @, % or `"},
    {"found unknown escape character", "",
     "double a backslash within double quotes, or use single quotes"},
    {"mapping values are not allowed in this context", "",
     "a value that holds ': ' must be quoted"},
};

std::string_view AdviceFor(std::string_view problem, std::string_view context) {
  for (const Advice& known : kAdvice) {
    const bool here = known.context.empty() || known.context == context;
    if (known.problem == problem && here) return known.advice;
  }
  return {};
}

void Builder::SyntaxError() {
  const yaml_parser_t& parser = events_.parser();
  const std::string problem = parser.problem == nullptr ? "cannot be read" : parser.problem;
  if (parser.error == YAML_MEMORY_ERROR) {
    Error({}, "no memory left to read the text");
    return;
  }
  if (parser.error == YAML_READER_ERROR) {  // counts in bytes and knows no line
    Error(places_.AtByte(parser.problem_offset), problem);
    return;
  }
  std::string message = problem;
  if (parser.context != nullptr) {
    message += ", " + std::string(parser.context);
    const Mark from = Place(parser.context_mark);
    if (parser.context_mark.line != parser.problem_mark.line) {
      message += " that began in line " + std::to_string(from.line);
    }
  }
  const std::string_view context = parser.context == nullptr ? "" : parser.context;
  if (const std::string_view advice = AdviceFor(problem, context); !advice.empty()) {
    message += "; " + std::string(advice);
  }
  Error(Place(parser.problem_mark), std::move(message));
}

}  // namespace

YamlDocument ReadYaml(std::string_view text, Diagnostics& diagnostics, const YamlLimits& limits) {
  YamlDocument document;
  if (text.size() > limits.bytes) {
    diagnostics.Error({}, "", "larger than " + std::to_string(limits.bytes) + " bytes");
    return document;
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // byte order mark
  Builder builder(text, limits, document.arena_, diagnostics);
  if (!builder.Run(&document.root_)) document.root_ = ConfigNode{};
  return document;
}

}  // namespace sonde
