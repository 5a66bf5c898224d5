#include "store/targets_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

// A label of the file and the key of a task it stands for; the first that is there counts.
struct TaskLabel {
  std::string_view label, key;
};
constexpr std::array<TaskLabel, 5> kTaskLabels = {{
    {"__param_module", "module"},
    {"module", "module"},
    {"__scrape_interval__", "interval"},
    {"__scrape_timeout__", "timeout"},
    {"application", "application"},
}};

ConfigNode Scalar(std::string_view text, Mark mark) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.quoted = true;
  node.mark = mark;
  node.text = text;
  return node;
}

}  // namespace

// What the targets of one group share: keys of a task, without name and target.
struct TargetsReader::Group {
  std::vector<ConfigEntry> keys;
  std::vector<ConfigEntry> labels;
  std::string_view module;
};

void TargetsReader::Read(std::string_view text) {
  documents_.push_back(ReadYaml(text, diagnostics_));
  const ConfigNode& root = documents_.back().root();
  if (root.kind == ConfigNode::Kind::kNull) return;  // reported, or a list of nothing
  if (root.kind != ConfigNode::Kind::kSequence) {
    diagnostics_.Error(root.mark, "", "must be a list of {targets: [...], labels: {...}}");
    return;
  }
  for (size_t i = 0; i < root.items.size(); ++i) {
    ReadGroup(root.items[i], "[" + std::to_string(i) + "]");
  }
}

void TargetsReader::ReadGroup(const ConfigNode& node, const std::string& path) {
  if (node.kind != ConfigNode::Kind::kMapping) {
    diagnostics_.Error(node.mark, path, "must be a mapping with targets and labels");
    return;
  }
  ConfigReader in(&node, path, diagnostics_);
  const ConfigNode* targets = in.Sequence("targets");
  const ConfigNode* labels = in.Mapping("labels");
  in.Finish();

  Group group;
  group.module = defaults_.module;
  const auto has = [&group](std::string_view key) {
    return std::any_of(group.keys.begin(), group.keys.end(),
                       [key](const ConfigEntry& entry) { return entry.key == key; });
  };
  for (const TaskLabel& row : kTaskLabels) {
    const ConfigNode* value = labels ? labels->Find(row.label) : nullptr;
    if (value == nullptr || value->kind != ConfigNode::Kind::kScalar || has(row.key)) continue;
    group.keys.push_back({row.key, value->mark, Scalar(value->text, value->mark)});
    if (row.key == "module") group.module = value->text;
  }
  if (!has("module")) group.keys.push_back({"module", node.mark, Scalar(group.module, node.mark)});
  if (!has("interval")) {
    group.keys.push_back({"interval", node.mark, Scalar(defaults_.interval, node.mark)});
  }
  if (labels != nullptr) {
    for (const ConfigEntry& entry : labels->entries) {
      if (!entry.key.starts_with("__") && entry.key != "application") group.labels.push_back(entry);
    }
  }
  if (targets == nullptr) return;
  for (size_t i = 0; i < targets->items.size(); ++i) {
    ReadTarget(targets->items[i], group, path + ".targets[" + std::to_string(i) + "]");
  }
}

// As if the task stood in `tasks:`, so that the same rules hold and the same is said.
void TargetsReader::ReadTarget(const ConfigNode& target, const Group& group,
                               const std::string& path) {
  if (target.kind != ConfigNode::Kind::kScalar) {
    diagnostics_.Error(target.mark, path, "must be text");
    return;
  }
  names_.push_back(std::string(group.module) + " " + std::string(target.text));
  std::vector<ConfigEntry> keys = group.keys;
  keys.push_back({"name", target.mark, Scalar(names_.back(), target.mark)});
  keys.push_back({"target", target.mark, Scalar(target.text, target.mark)});
  if (!group.labels.empty()) {
    ConfigNode labels;
    labels.kind = ConfigNode::Kind::kMapping;
    labels.mark = target.mark;
    labels.entries = group.labels;
    keys.push_back({"labels", target.mark, labels});
  }
  ConfigNode task;
  task.kind = ConfigNode::Kind::kMapping;
  task.mark = target.mark;
  task.entries = keys;
  if (auto made = reader_.Read(task, path)) tasks_.push_back(std::move(made));
}

}  // namespace sonde
