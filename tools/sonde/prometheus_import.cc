#include "tools/sonde/prometheus_import.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "engine/contract/duration_text.h"
#include "engine/contract/label_name.h"
#include "engine/contract/scalar_text.h"
#include "protocols/registry.h"
#include "store/module_text.h"
#include "store/task_reader.h"
#include "store/yaml_reader.h"
#include "tools/sonde/relabel.h"

namespace sonde {
namespace {

constexpr std::string_view kSdConfigs = "_sd_configs", kFileSdConfigs = "file_sd_configs";
constexpr std::string_view kProbePath = "/probe", kDefaultModule = "http_2xx";

// Modules of the file blackbox_exporter comes with that say all there is to say in a line.
struct StockModule {
  std::string_view name, text;
};
constexpr std::array<StockModule, 4> kStock = {{
    {"http_2xx", "{prober: http}"},
    {"http_post_2xx", "{prober: http, http: {method: POST}}"},
    {"icmp", "{prober: icmp}"},
    {"tcp_connect", "{prober: tcp}"},
}};

std::string StockText() {
  std::string text = "modules:\n";
  for (const StockModule& module : kStock) {
    text.append("  ").append(module.name).append(": ").append(module.text).append("\n");
  }
  return text;
}

// Prometheus' durations have years, which ours do not.
std::optional<Duration> ParsePrometheusDuration(std::string_view text) {
  constexpr int64_t kDaysPerYear = 365, kMostYears = 100;
  Duration years{};
  if (const size_t y = text.find('y'); y != std::string_view::npos) {
    const auto number = ParseInteger(text.substr(0, y));
    if (!number || *number < 0 || *number > kMostYears) return std::nullopt;
    years = Hours(24) * (kDaysPerYear * *number);
    text.remove_prefix(y + 1);
    if (text.empty()) return years;
  }
  const auto rest = ParseDuration(text, true);
  if (!rest) return std::nullopt;
  return years + *rest;
}

// As we read it: as it was written, where that is possible.
std::string DurationText(const std::string& text, Duration duration) {
  return ParseDuration(text, true) ? text : FormatDuration(duration);
}

std::string_view ValueOf(const LabelMap& labels, std::string_view name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

struct Job {
  std::string name, metrics_path = "/metrics", interval, timeout;
  LabelMap params;  // by `__param_NAME`
  std::vector<RelabelRule> rules;
  Mark mark;
};

class Import {
 public:
  Import(const ImportModules& modules, ModuleFiles& files, Diagnostics& diagnostics)
      : pattern_(modules.pattern),
        files_(files),
        diagnostics_(diagnostics),
        probers_(SchemaProbers()) {
    if (pattern_.empty()) {
      Diagnostics unused;  // they are good
      stock_ = ReadTaskFile(StockText(), SchemaProbers(), unused);
    }
    const TaskFile& file = pattern_.empty() ? stock_ : *modules.file;
    modules_.good = file.modules;
    modules_.unusable = file.unusable_modules;
    reader_.emplace(probers_, modules_, diagnostics_);
  }

  PrometheusImport Read(std::string_view text);

 private:
  void ReadJob(const ConfigNode& node, const std::string& path);
  void ReadParams(ConfigReader& in, Job* job);
  bool ReadTimes(ConfigReader& in, Job* job);
  void SayWhatIsLost(const ConfigNode& node, const std::string& path, const Job& job);
  void ReadFiles(const ConfigNode& node, const std::string& path, const Job& job);
  void ReadGroups(const ConfigNode& list, const std::string& path, const std::string& file,
                  const Job& job);
  void ReadGroup(const ConfigNode& node, const std::string& path, const std::string& file,
                 const Job& job);
  void ReadTarget(const ConfigNode& target, LabelMap labels, const std::string& path,
                  const Job& job);
  bool KnowsModule(std::string_view module, const Job& job);
  void MakeTask(const ConfigNode& target, const LabelMap& labels, const std::string& path,
                const Job& job);
  std::string NameFor(const Job& job, std::string_view target);
  std::string Text() const;

  // The texts of a task being made live on: the reader refers to its name.
  std::string_view Keep(std::string text) { return kept_.emplace_back(std::move(text)); }
  ConfigEntry Entry(std::string_view key, std::string_view value, Mark mark) {
    ConfigNode node;
    node.kind = ConfigNode::Kind::kScalar;
    node.quoted = true;
    node.mark = mark;
    node.text = value;
    return {key, mark, node};
  }

  const std::string pattern_;
  ModuleFiles& files_;
  Diagnostics& diagnostics_;
  const ProberList probers_;
  TaskFile stock_;
  ModuleSet modules_;
  std::optional<TaskReader> reader_;
  std::deque<std::string> kept_;
  std::string interval_ = "1m", timeout_ = "10s";  // of `global`
  std::set<std::string, std::less<>> names_, used_modules_;
  std::set<std::pair<std::string, std::string>> unknown_;  // job and module
  std::string tasks_text_;
  size_t tasks_ = 0, jobs_ = 0;
};

PrometheusImport Import::Read(std::string_view text) {
  const YamlDocument document = ReadYaml(text, diagnostics_);
  const ConfigNode& root = document.root();
  if (root.kind == ConfigNode::Kind::kNull && !diagnostics_.ok()) return {};
  ConfigReader in(&root, "", diagnostics_);
  const ConfigNode* jobs = in.Sequence("scrape_configs");
  if (jobs == nullptr) {
    if (diagnostics_.ok()) diagnostics_.Error(root.mark, "", "there are no scrape_configs");
    return {};
  }
  if (in.Has("scrape_config_files")) in.Error("scrape_config_files", "is not followed");
  ConfigReader global(in.Node("global"), "global", diagnostics_);
  global.String("scrape_interval", &interval_);
  global.String("scrape_timeout", &timeout_);
  for (size_t i = 0; i < jobs->items.size(); ++i) {
    const size_t before = tasks_;
    ReadJob(jobs->items[i], "scrape_configs[" + std::to_string(i) + "]");
    if (tasks_ > before) ++jobs_;
  }
  return {true, Text(), tasks_, jobs_};
}

void Import::ReadJob(const ConfigNode& node, const std::string& path) {
  const size_t errors = diagnostics_.errors();
  ConfigReader in(&node, path, diagnostics_);
  Job job;
  job.mark = node.mark;
  in.String("job_name", &job.name);
  in.String("metrics_path", &job.metrics_path);
  if (!job.metrics_path.ends_with(kProbePath)) {
    if (diagnostics_.errors() == errors) {
      in.Warn("job_name", "job " + Quote(job.name) +
                              " does not probe through blackbox_exporter and is left alone");
    }
    return;
  }
  ReadParams(in, &job);
  job.rules =
      ReadRelabelRules(in.Sequence("relabel_configs"), in.PathOf("relabel_configs"), diagnostics_);
  const bool times = ReadTimes(in, &job);
  SayWhatIsLost(node, path, job);
  const ConfigNode* statics = in.Sequence("static_configs");
  const ConfigNode* lists = in.Sequence(kFileSdConfigs);
  // With a rule or an interval that is wrong every task would be.
  if (!times ||
      job.rules.size() !=
          (in.Has("relabel_configs") ? in.Node("relabel_configs")->items.size() : size_t{0})) {
    return;
  }
  if (statics != nullptr) ReadGroups(*statics, in.PathOf("static_configs"), "", job);
  if (lists == nullptr) return;
  for (size_t i = 0; i < lists->items.size(); ++i) {
    ReadFiles(lists->items[i], in.PathOf(kFileSdConfigs) + "[" + std::to_string(i) + "]", job);
  }
}

void Import::ReadParams(ConfigReader& in, Job* job) {
  const ConfigNode* params = in.Mapping("params");
  if (params == nullptr) return;
  ConfigReader each(params, in.PathOf("params"), diagnostics_);
  for (const ConfigEntry& entry : params->entries) {
    std::vector<std::string> values;
    if (each.StringList(entry.key, &values) && !values.empty()) {
      job->params["__param_" + std::string(entry.key)] = values.front();
    }
    const bool known = entry.key == "module" || entry.key == "target" || entry.key == "details";
    if (!known) each.Error(entry.key, "tasks have no such parameter");
  }
}

bool Import::ReadTimes(ConfigReader& in, Job* job) {
  job->interval = interval_;
  in.String("scrape_interval", &job->interval);
  const auto interval = ParsePrometheusDuration(job->interval);
  job->timeout = timeout_;
  const auto timeout = ParsePrometheusDuration(timeout_);
  if (interval && timeout && *timeout > *interval) job->timeout = job->interval;
  in.String("scrape_timeout", &job->timeout);
  if (!interval) in.Error("scrape_interval", Quote(job->interval) + " is no duration");
  if (!ParsePrometheusDuration(job->timeout)) {
    in.Error("scrape_timeout", Quote(job->timeout) + " is no duration");
    return false;
  }
  return interval.has_value();
}

void Import::SayWhatIsLost(const ConfigNode& node, const std::string& path, const Job& job) {
  for (const ConfigEntry& entry : node.entries) {
    const std::string at = path + "." + std::string(entry.key);
    if (entry.key == kFileSdConfigs) {
      diagnostics_.Warn(entry.mark, at,
                        "the files are read now; their later changes are not followed");
    } else if (entry.key.ends_with(kSdConfigs)) {
      diagnostics_.Error(entry.mark, at,
                         "the targets it finds for job " + Quote(job.name) + " are not known here");
    } else if (entry.key == "metric_relabel_configs") {
      diagnostics_.Error(entry.mark, at, "belongs into the job that scrapes sonde");
    }
  }
}

void Import::ReadFiles(const ConfigNode& node, const std::string& path, const Job& job) {
  ConfigReader in(&node, path, diagnostics_);
  std::vector<std::string> patterns;
  in.StringList("files", &patterns);
  if (patterns.empty()) in.Error("files", "is missing");
  for (const std::string& pattern : patterns) {
    const auto found = files_.Read(pattern);
    if (!found.ok()) {
      in.Error("files", std::string(found.status().message()));
    } else if (found->empty()) {
      in.Error("files", "no file matches " + Quote(pattern));
    } else {
      for (const ModuleFiles::File& file : *found) {
        diagnostics_.SetFile(file.path);
        const YamlDocument document = ReadYaml(file.text, diagnostics_);
        const ConfigNode& root = document.root();
        if (root.kind == ConfigNode::Kind::kSequence) {
          ReadGroups(root, "", file.path, job);
        } else if (root.kind != ConfigNode::Kind::kNull) {
          diagnostics_.Error(root.mark, "", "must be a list of {targets: [...], labels: {...}}");
        }
        diagnostics_.SetFile("");
      }
    }
  }
}

void Import::ReadGroups(const ConfigNode& list, const std::string& path, const std::string& file,
                        const Job& job) {
  for (size_t i = 0; i < list.items.size(); ++i) {
    ReadGroup(list.items[i], path + "[" + std::to_string(i) + "]", file, job);
  }
}

void Import::ReadGroup(const ConfigNode& node, const std::string& path, const std::string& file,
                       const Job& job) {
  ConfigReader in(&node, path, diagnostics_);
  std::vector<std::pair<std::string, std::string>> pairs;
  in.StringMap("labels", &pairs);
  const ConfigNode* targets = in.Sequence("targets");
  in.Finish();
  if (targets == nullptr) return;
  LabelMap labels;
  for (auto& [name, value] : pairs) {
    if (!value.empty()) labels.emplace(std::move(name), std::move(value));
  }
  if (!file.empty()) labels["__meta_filepath"] = file;
  for (size_t i = 0; i < targets->items.size(); ++i) {
    ReadTarget(targets->items[i], labels, in.PathOf("targets") + "[" + std::to_string(i) + "]",
               job);
  }
}

// Labels as Prometheus gives them to a target before it relabels them, and what comes out of that.
void Import::ReadTarget(const ConfigNode& target, LabelMap labels, const std::string& path,
                        const Job& job) {
  if (target.kind != ConfigNode::Kind::kScalar || target.text.empty()) {
    diagnostics_.Error(target.mark, path, "must be text");
    return;
  }
  labels["__address__"] = target.text;
  const std::pair<std::string_view, std::string_view> kDefaults[] = {
      {"job", job.name},
      {"__scrape_interval__", job.interval},
      {"__scrape_timeout__", job.timeout},
      {"__metrics_path__", job.metrics_path},
      {"__scheme__", "http"}};
  for (const auto& [name, value] : kDefaults) labels.emplace(name, value);
  for (const auto& [name, value] : job.params) labels[name] = value;
  for (const RelabelRule& rule : job.rules) {
    if (!rule.Apply(&labels)) return;  // dropped, as there
  }
  if (ValueOf(labels, "__param_target").empty()) {
    diagnostics_.Error(
        target.mark, path,
        "relabelling gives " + Quote(target.text) + " no __param_target: it is not probed");
    return;
  }
  if (ValueOf(labels, "instance").empty()) {
    labels["instance"] = std::string(ValueOf(labels, "__address__"));
  }
  MakeTask(target, labels, path, job);
}

// A module that is not known is said once for a job, not for each of its targets.
bool Import::KnowsModule(std::string_view module, const Job& job) {
  const bool known =
      modules_.good.count(module) != 0 || modules_.unusable.count(std::string(module)) != 0;
  if (known || !unknown_.emplace(job.name, module).second) return known;
  diagnostics_.Error(job.mark, "",
                     "job " + Quote(job.name) + " needs module " + Quote(module) +
                         (pattern_.empty() ? ": name the file that has it with --modules"
                                           : ", which the file of modules does not have"));
  return false;
}

void Import::MakeTask(const ConfigNode& target, const LabelMap& labels, const std::string& path,
                      const Job& job) {
  std::string_view module = ValueOf(labels, "__param_module");
  if (module.empty()) module = kDefaultModule;
  if (!KnowsModule(module, job)) return;
  const Mark mark = target.mark;
  const std::string_view probed = ValueOf(labels, "__param_target");
  std::vector<ConfigEntry> keys = {Entry("name", Keep(NameFor(job, probed)), mark),
                                   Entry("module", Keep(std::string(module)), mark),
                                   Entry("target", Keep(std::string(probed)), mark)};
  for (const std::string_view key : {"interval", "timeout"}) {
    const std::string text(ValueOf(labels, "__scrape_" + std::string(key) + "__"));
    const auto duration = ParsePrometheusDuration(text);
    if (!duration) {
      diagnostics_.Error(mark, path, Quote(text) + " is no duration for " + std::string(key));
      return;
    }
    // A module's own time-out counts while it is the shorter one.
    const auto found = modules_.good.find(module);
    if (key == "timeout" && found != modules_.good.end() && found->second->timeout > Duration{} &&
        found->second->timeout <= *duration) {
      continue;
    }
    keys.push_back(Entry(key, Keep(DurationText(text, *duration)), mark));
  }
  std::vector<ConfigEntry> own;
  for (const auto& [name, value] : labels) {
    if (name.starts_with("__")) continue;
    if (name == "application") {
      keys.push_back(Entry("application", value, mark));
    } else if (!IsReservedLabel(name)) {
      own.push_back(Entry(name, value, mark));
    } else if (name != "target" || value != probed) {
      diagnostics_.Error(mark, path, "label " + Quote(name) + " is one of sonde's own: left out");
    }
  }
  ConfigNode map;
  map.kind = ConfigNode::Kind::kMapping;
  map.mark = mark;
  map.entries = own;
  std::vector<ConfigEntry> all = keys;
  all.push_back({"labels", mark, map});
  ConfigNode task;
  task.kind = ConfigNode::Kind::kMapping;
  task.mark = mark;
  task.entries = all;
  // Whatever `sonde check` would say of the task is said here, of the place it comes from.
  if (reader_->Read(task, path) == nullptr) return;
  std::string_view lead = "  - ";
  for (const ConfigEntry& entry : keys) {
    tasks_text_.append(lead).append(entry.key).append(": ");
    tasks_text_.append(YamlScalar(entry.value.text)).append("\n");
    lead = "    ";
  }
  tasks_text_.append("    labels: {");
  std::string_view comma;
  for (const ConfigEntry& entry : own) {
    tasks_text_.append(comma).append(YamlScalar(entry.key)).append(": ");
    tasks_text_.append(YamlScalar(entry.value.text));
    comma = ", ";
  }
  tasks_text_.append("}\n");
  used_modules_.emplace(module);
  ++tasks_;
}

// "JOB TARGET", with a number where that is taken.
std::string Import::NameFor(const Job& job, std::string_view target) {
  constexpr size_t kRoomForNumber = 12;
  std::string name = job.name + " " + std::string(target);
  size_t length = std::min(name.size(), TaskBounds::kNameBytes - kRoomForNumber);
  while (length < name.size() && (name[length] & 0xc0) == 0x80) --length;
  name.resize(length);
  std::string numbered = name;
  for (size_t n = 2; !names_.insert(numbered).second; ++n) {
    numbered = name + " (" + std::to_string(n) + ")";
  }
  return numbered;
}

std::string Import::Text() const {
  std::string text =
      "# Made by `sonde import prometheus`. Prometheus scrapes sonde with honor_labels: true, so "
      "that job\n# and instance stay what they were.\n";
  if (!pattern_.empty()) {
    text.append("module_files: [").append(YamlScalar(pattern_)).append("]\n");
  } else {
    text.append(used_modules_.empty() ? "modules: {}\n" : "modules:\n");
    for (const StockModule& module : kStock) {
      if (used_modules_.count(module.name) == 0) continue;
      text.append("  ").append(module.name).append(": ").append(module.text).append("\n");
    }
  }
  text.append(tasks_text_.empty() ? "tasks: []\n" : "tasks:\n").append(tasks_text_);
  return text;
}

}  // namespace

PrometheusImport ImportPrometheus(std::string_view text, const ImportModules& modules,
                                  ModuleFiles& files, Diagnostics& diagnostics) {
  return Import(modules, files, diagnostics).Read(text);
}

}  // namespace sonde
