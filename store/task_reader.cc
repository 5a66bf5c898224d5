#include "store/task_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/contract/duration_text.h"
#include "engine/contract/label_name.h"
#include "engine/contract/scalar_text.h"
#include "engine/contract/siphash.h"
#include "store/node_text.h"

namespace sonde {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return text;
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// What is wrong with a text that becomes a label value; "" for nothing.
std::string TextFault(std::string_view text, size_t most) {
  if (text.size() > most) return "is longer than " + std::to_string(most) + " bytes";
  if (!IsUtf8(text)) return "is not UTF-8 text";
  if (HasControl(text)) return "must not contain control characters";
  return "";
}

// Which of the three keys makes a cron schedule wrong: each is tried without the ones after it.
std::string_view WrongCronKey(std::string_view expression, std::string_view zone) {
  if (!Schedule::Cron("@daily", zone, Duration{}).ok()) return "timezone";
  return Schedule::Cron(expression, zone, Duration{}).ok() ? "spread" : "cron";
}

}  // namespace

TaskReader::TaskReader(const ProberList& probers, const ModuleSet& modules,
                       Diagnostics& diagnostics, const TaskMetrics& metrics)
    : probers_(probers), modules_(modules), diagnostics_(diagnostics), metrics_(metrics) {}

std::shared_ptr<const Task> TaskReader::Read(const ConfigNode& node, const std::string& path) {
  const size_t errors = diagnostics_.errors();
  if (node.kind != ConfigNode::Kind::kMapping) {
    diagnostics_.Error(node.mark, path, "must be a mapping with name, type and target");
    return nullptr;
  }
  left_out_ = false;
  ConfigReader in(&node, path, diagnostics_);
  auto task = std::make_shared<Task>();
  ReadName(in, task.get());
  ReadType(in, task.get());
  ReadTexts(in, task.get());
  ReadLabels(in, task.get());
  ReadSchedule(in, task.get());
  ReadTimeout(in, task.get());
  in.Bool("enabled", &task->enabled);
  const ConfigNode* target = in.Node("target");
  const ConfigNode* expect = in.Node("expect");
  in.Finish();
  if (task->module != nullptr && !task->target.empty()) {
    task->plan = task->prober->ParseTarget(task->target, target->mark, expect, *task->module, path,
                                           diagnostics_);
    WarnOfShortTimeout(in, *task);
  }
  if (diagnostics_.errors() > errors || left_out_) return nullptr;
  if (task->plan == nullptr) {  // a prober that refuses without a word must not go unnoticed
    in.Error("target", "cannot be probed");
    return nullptr;
  }
  task->metrics = metrics_.With(task->module->metrics);
  task->version = VersionOf(*task, expect);
  return task;
}

void TaskReader::ReadName(ConfigReader& in, Task* task) {
  in.String("name", &task->name);
  const ConfigNode* node = in.Node("name");
  if (node == nullptr || node->kind != ConfigNode::Kind::kScalar) {
    if (node == nullptr) in.Error("name", "is missing");
    return;
  }
  const std::string fault =
      task->name.empty() ? "must not be empty" : TextFault(task->name, TaskBounds::kNameBytes);
  if (!fault.empty()) {
    in.Error("name", fault);
    return;
  }
  task->id = TaskIdOf(task->name);
  const auto [use, added] = names_.emplace(task->id, NameUse{node->text, node->mark});
  if (added) return;
  std::string message = "name " + Quote(task->name);
  message += use->second.name == task->name
                 ? " is already used"
                 : " has the same hash as " + Quote(use->second.name) + ": rename one; it is used";
  if (use->second.mark.line != 0) message += " in line " + std::to_string(use->second.mark.line);
  diagnostics_.Error(node->mark, in.PathOf("name"), std::move(message));
}

// Finds prober and module out of `type`, `module` and the inline block; any of the three may be
// left out where the others say it.
void TaskReader::ReadType(ConfigReader& in, Task* task) {
  type_.clear();
  inline_name_ = "";
  in.String("type", &type_);
  type_ = Lower(type_);
  if (type_ == "ping") type_ = "icmp";
  for (const std::string_view name : ProberList::SchemaNames()) {
    if (!in.Has(name)) continue;
    if (!inline_name_.empty()) {
      in.Error(name, "a task has one block, and '" + std::string(inline_name_) + "' is there");
    }
    if (inline_name_.empty() || name == type_) inline_name_ = name;
  }
  if (in.Has("module")) {
    ReadModuleName(in, task);
  } else {
    ReadInline(in, task);
  }
}

void TaskReader::ReadModuleName(ConfigReader& in, Task* task) {
  std::string name;
  if (!in.String("module", &name)) return;
  if (!inline_name_.empty()) {
    in.Error(inline_name_, "a task has a module or a block of its own, not both");
    return;
  }
  if (modules_.bad.count(name) != 0) {
    left_out_ = true;
    return;
  }
  if (const auto unusable = modules_.unusable.find(name); unusable != modules_.unusable.end()) {
    in.Error("module", unusable->second.empty()
                           ? "module " + Quote(name) + " is empty: it has no prober"
                           : "module " + Quote(name) + " needs the prober '" + unusable->second +
                                 "', which this version does not have");
    return;
  }
  const auto found = modules_.good.find(name);
  if (found == modules_.good.end()) {
    // Comparing with every module is for people's mistakes, not for a hundred thousand of them.
    std::vector<std::string_view> names;
    if (diagnostics_.errors() < 100) {
      for (const auto& [known, module] : modules_.good) names.push_back(known);
    }
    in.Error("module", "there is no module " + Quote(name) + Suggestion(name, names));
    return;
  }
  const Module& module = *found->second;
  if (!type_.empty() && type_ != module.prober->name()) {
    const Prober* prober = FindType(in);
    if (prober == nullptr) return;
    in.Error("module", "module " + Quote(name) + " is for " + std::string(module.prober->name()) +
                           ", not for " + type_);
    return;
  }
  task->prober = module.prober;
  task->module = found->second;
}

const Prober* TaskReader::FindType(ConfigReader& in) {
  const Prober* prober = probers_.Find(type_);
  if (prober != nullptr) return prober;
  if (ProberList::InSchema(type_)) {
    in.Error("type", "this version has no prober '" + type_ + "'");
  } else {
    in.Error("type",
             "there is no type " + Quote(type_) + Suggestion(type_, ProberList::SchemaNames()));
  }
  return nullptr;
}

void TaskReader::ReadInline(ConfigReader& in, Task* task) {
  if (type_.empty()) {
    const bool given = in.Has("type");  // and reported, unless it is empty
    if (inline_name_.empty()) {
      const ConfigNode* node = in.Node("type");
      if (!given || node->kind == ConfigNode::Kind::kScalar) in.Error("type", "is missing");
      return;
    }
    type_ = std::string(inline_name_);
  }
  const Prober* prober = FindType(in);
  if (prober == nullptr) return;
  if (!inline_name_.empty() && inline_name_ != type_) {
    in.Error(inline_name_, "does not belong to a task of type " + type_);
    return;
  }
  const ConfigNode* block = in.Node(type_);
  scratch_ = type_;
  AppendPart(block, &scratch_);
  auto found = inline_.find(scratch_);
  if (found == inline_.end()) {
    std::shared_ptr<Module> module = prober->ParseModule(block, in.PathOf(type_), diagnostics_);
    if (module == nullptr) {
      left_out_ = true;
      return;
    }
    module->prober = prober;
    found = inline_.emplace(scratch_, std::move(module)).first;
  }
  task->prober = prober;
  task->module = found->second;
}

void TaskReader::ReadTexts(ConfigReader& in, Task* task) {
  const bool given = in.String("target", &task->target);
  std::string fault;
  if (!in.Has("target")) {
    fault = "is missing";
  } else if (given) {
    fault = task->target.empty() ? "must not be empty"
                                 : TextFault(task->target, TaskBounds::kTargetBytes);
  }
  if (!fault.empty()) {
    in.Error("target", fault);
    task->target.clear();
  }
  in.String("application", &task->application);
  fault = TextFault(task->application, TaskBounds::kApplicationBytes);
  if (!fault.empty()) in.Error("application", fault);
}

void TaskReader::ReadLabels(ConfigReader& in, Task* task) {
  if (!in.StringMap("labels", &task->labels)) return;
  const ConfigNode* node = in.Node("labels");
  const std::string path = in.PathOf("labels");
  if (task->labels.size() > TaskBounds::kLabels) {
    in.Error("labels", "more than " + std::to_string(TaskBounds::kLabels) + " labels");
    return;
  }
  for (size_t i = 0; i < task->labels.size(); ++i) {
    const auto& [name, value] = task->labels[i];
    const ConfigEntry& entry = node->entries[i];
    if (!IsLegalLabelName(name)) {
      diagnostics_.Error(entry.mark, path,
                         "label name " + Quote(name) +
                             " must consist of letters, digits and _, and not begin with a digit");
    } else if (IsReservedLabel(name)) {
      diagnostics_.Error(entry.mark, path,
                         "label name " + Quote(name) +
                             (name.starts_with("__") ? " is reserved: names with __ are Prometheus'"
                                                     : " is reserved for series of sonde's own"));
    }
    if (value.size() > TaskBounds::kLabelValueBytes) {
      diagnostics_.Error(
          entry.value.mark, path + "." + name,
          "is longer than " + std::to_string(TaskBounds::kLabelValueBytes) + " bytes");
    } else if (!IsUtf8(value)) {
      diagnostics_.Error(entry.value.mark, path + "." + name, "is not UTF-8 text");
    }
  }
  std::sort(task->labels.begin(), task->labels.end());
}

void TaskReader::ReadSchedule(ConfigReader& in, Task* task) {
  schedule_text_.clear();
  Duration interval = Minutes(1);
  const bool has_interval = in.Time("interval", &interval, true);
  if (in.Has("cron")) {
    if (in.Has("interval")) in.Error("cron", "a task has an interval or a cron schedule, not both");
    ReadCron(in, task);
    return;
  }
  for (const std::string_view key : {"timezone", "spread"}) {
    if (in.Has(key)) in.Error(key, "goes with cron only");
  }
  AppendPart(static_cast<uint64_t>(interval.ns), &schedule_text_);
  if (!has_interval) return;  // the default, or reported
  const auto schedule = Schedule::Every(interval);
  if (schedule.ok()) {
    task->schedule = *schedule;
  } else {
    in.Error("interval", std::string(schedule.status().message()));
  }
}

void TaskReader::ReadCron(ConfigReader& in, Task* task) {
  std::string expression, zone;
  Duration spread = Seconds(1);
  const size_t errors = diagnostics_.errors();
  in.String("cron", &expression);
  in.String("timezone", &zone);
  // A bare 0 is no duration anywhere else; here it is the way to switch the spreading off.
  const ConfigNode* node = in.Node("spread");
  if (node != nullptr && node->kind == ConfigNode::Kind::kScalar && node->text == "0") {
    spread = Duration{};
  } else {
    in.Time("spread", &spread, true);
  }
  if (diagnostics_.errors() > errors) return;
  AppendPart(expression, &schedule_text_);
  AppendPart(zone, &schedule_text_);
  AppendPart(static_cast<uint64_t>(spread.ns), &schedule_text_);
  const auto known = crons_.find(schedule_text_);
  if (known != crons_.end()) {
    task->schedule = known->second;
    return;
  }
  const auto schedule = Schedule::Cron(expression, zone, spread);
  if (!schedule.ok()) {
    in.Error(WrongCronKey(expression, zone), std::string(schedule.status().message()));
    return;
  }
  task->schedule = *schedule;
  crons_.emplace(schedule_text_, *schedule);
}

void TaskReader::ReadTimeout(ConfigReader& in, Task* task) {
  if (task->module != nullptr && task->module->timeout > Duration{}) {
    task->timeout = task->module->timeout;
  }
  if (in.Has("timeout") && !in.Time("timeout", &task->timeout, true)) return;
  if (task->timeout > Duration{} && task->timeout <= TaskBounds::kTimeout) return;
  std::string message = "must be above 0 and at most " + FormatDuration(TaskBounds::kTimeout);
  if (!in.Has("timeout")) { message += "; the module's is " + FormatDuration(task->timeout); }
  in.Error("timeout", std::move(message));
}

void TaskReader::WarnOfShortTimeout(ConfigReader& in, const Task& task) {
  if (task.plan == nullptr) return;
  const Duration least = task.plan->needs_longer_than;
  if (least <= Duration{} || task.timeout > least) return;
  in.Warn("timeout", FormatDuration(task.timeout) + " cuts every probe short: this one takes " +
                         FormatDuration(least) + " at least");
}

uint64_t TaskReader::VersionOf(const Task& task, const ConfigNode* expect) {
  std::string& text = scratch_;
  text.clear();
  for (const std::string_view part :
       {std::string_view(task.name), task.prober->name(), std::string_view(task.target),
        std::string_view(task.application)}) {
    AppendPart(part, &text);
  }
  AppendPart(uint64_t{task.labels.size()}, &text);
  for (const auto& [name, value] : task.labels) {
    AppendPart(name, &text);
    AppendPart(value, &text);
  }
  AppendPart(task.module->name, &text);
  AppendPart(task.module->content_hash, &text);
  AppendPart(schedule_text_, &text);
  AppendPart(static_cast<uint64_t>(task.timeout.ns), &text);
  AppendPart(uint64_t{task.enabled}, &text);
  AppendPart(uint64_t{task.metrics.families.bits()}, &text);
  AppendPart(uint64_t{task.metrics.recent}, &text);
  AppendPart(expect, &text);
  return SipHash24(0x7461736b2e766572u, 0x73696f6e2e686173u, text);
}

std::vector<std::shared_ptr<const Module>> TaskReader::OwnModules() const {
  std::vector<std::shared_ptr<const Module>> modules;
  modules.reserve(inline_.size());
  for (const auto& [text, module] : inline_) modules.push_back(module);
  return modules;
}

}  // namespace sonde
