#include "store/task_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "engine/contract/label_name.h"
#include "engine/contract/scalar_text.h"
#include "store/metrics_reader.h"
#include "store/module_text.h"
#include "store/task_reader.h"

namespace sonde {
namespace {

constexpr int64_t kMostShards = 256;
constexpr int64_t kMostInFlight = 10'000'000;

void ReadCount(ConfigReader& in, std::string_view key, size_t* out, int64_t least, int64_t most) {
  int64_t value = 0;
  if (in.Int(key, &value, least, most)) *out = static_cast<size_t>(value);
}

// A size of memory: unlike body_size_limit there is no "no limit" here.
void ReadMemory(ConfigReader& in, std::string_view key, int64_t* out) {
  constexpr int64_t kLeast = 64 * 1024;
  int64_t value = 0;
  if (!in.Size(key, &value)) return;
  if (value < kLeast) {
    in.Error(key, "must be at least 64KB");
  } else {
    *out = value;
  }
}

EngineSettings ReadEngine(const ConfigNode* node, Diagnostics& diagnostics) {
  EngineSettings settings;
  ConfigReader in(node, "engine", diagnostics);
  size_t shards = 0;
  ReadCount(in, "shards", &shards, 0, kMostShards);
  settings.shards = static_cast<unsigned>(shards);
  ReadCount(in, "max_in_flight", &settings.max_in_flight, 1, kMostInFlight);
  ReadCount(in, "max_handshakes", &settings.max_handshakes, 0, kMostInFlight);
  ReadCount(in, "max_descriptors", &settings.max_descriptors, 0, kMostInFlight);
  in.Bool("transmit_stamps", &settings.transmit_stamps);
  std::string io = "epoll";
  if (in.String("io", &io) && io != "epoll" && io != "io_uring") {
    in.Error("io", "must be epoll or io_uring");
  }
  if (io == "io_uring") settings.io = EngineSettings::Io::kUring;
  ReadMemory(in, "body_memory", &settings.body_memory);
  ReadMemory(in, "body_memory_per_probe", &settings.body_memory_per_probe);
  ConfigReader destination(in.Node("per_destination"), in.PathOf("per_destination"), diagnostics);
  ReadCount(destination, "max_in_flight", &settings.per_destination.max_in_flight, 0,
            kMostInFlight);
  destination.Number("rate", &settings.per_destination.rate, 0, 1e6);
  destination.Finish();
  in.Finish();
  return settings;
}

std::vector<std::pair<std::string, std::string>> ReadExternalLabels(const ConfigNode* node,
                                                                    Diagnostics& diagnostics) {
  std::vector<std::pair<std::string, std::string>> labels;
  ConfigReader in(node, "federation", diagnostics);
  in.StringMap("external_labels", &labels);
  if (labels.size() > TaskBounds::kLabels) {
    in.Error("external_labels", "more than " + std::to_string(TaskBounds::kLabels) + " labels");
  }
  const ConfigNode* map = in.Node("external_labels");
  for (size_t i = 0; i < labels.size() && i < TaskBounds::kLabels; ++i) {
    const auto& [name, value] = labels[i];
    std::string fault;
    if (!IsLegalLabelName(name)) {
      fault = " must consist of letters, digits and _, and not begin with a digit";
    } else if (name.starts_with("__")) {
      fault = " is reserved: names with __ are Prometheus'";
    } else if (value.size() > TaskBounds::kLabelValueBytes || !IsUtf8(value)) {
      fault = " must have a value of UTF-8 text, of at most " +
              std::to_string(TaskBounds::kLabelValueBytes) + " bytes";
    }
    if (fault.empty()) continue;
    diagnostics.Error(map->entries[i].mark, in.PathOf("external_labels"),
                      "label name " + Quote(name) + fault);
  }
  in.Finish();
  std::sort(labels.begin(), labels.end());
  return labels;
}

// The ring of last results takes memory of its own. Where nothing is said, small fleets have it.
TaskMetrics DefaultMetrics(const MetricsSettings& settings, const ConfigNode* tasks) {
  TaskMetrics metrics;
  metrics.recent = tasks == nullptr || tasks->items.size() <= TaskFile::kRecentTasks;
  return metrics.With(settings);
}

void CollectFiles(const Module& module, std::set<std::string>* files) {
  files->insert(module.files.begin(), module.files.end());
}

absl::Status FileError(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, "cannot read '" + path + "'");
}

}  // namespace

TaskFile ReadTaskFile(std::string_view text, std::span<const Prober* const> probers,
                      Diagnostics& diagnostics, const YamlLimits& limits,
                      ModuleFiles* module_files) {
  TaskFile file;
  const size_t errors = diagnostics.errors();
  const YamlDocument document = ReadYaml(text, diagnostics, limits);
  const ConfigNode& root = document.root();
  if (root.kind == ConfigNode::Kind::kNull && diagnostics.errors() > errors) return file;

  const ProberList list(probers);
  ConfigReader in(&root, "", diagnostics);
  ModuleSet modules = ReadModules(in, list, module_files);
  std::set<std::string> files;
  for (const auto& [name, module] : modules.good) CollectFiles(*module, &files);

  file.metrics = ReadMetrics(in.Node("metrics"), "metrics", diagnostics);
  const ConfigNode* tasks = in.Sequence("tasks");
  TaskReader reader(list, modules, diagnostics, DefaultMetrics(file.metrics, tasks));
  if (tasks != nullptr) {
    file.tasks.reserve(tasks->items.size());
    for (size_t i = 0; i < tasks->items.size(); ++i) {
      auto task = reader.Read(tasks->items[i], "tasks[" + std::to_string(i) + "]");
      if (task != nullptr) file.tasks.push_back(std::move(task));
    }
  }
  for (const auto& module : reader.OwnModules()) CollectFiles(*module, &files);

  file.engine = ReadEngine(in.Node("engine"), diagnostics);
  file.policy = ProbePolicy::Parse(in.Node("policy"), "policy", diagnostics);
  file.external_labels = ReadExternalLabels(in.Node("federation"), diagnostics);
  for (const std::string_view key : {"engine", "metrics", "policy", "federation"}) {
    if (const ConfigNode* node = in.Node(key)) {
      file.settings_text.append(key).append(":\n").append(Indented(NodeText(*node), 2));
    }
  }
  in.Finish();
  file.modules = std::move(modules.good);
  file.unusable_modules = std::move(modules.unusable);
  file.module_texts = std::move(modules.texts);
  file.module_patterns = std::move(modules.patterns);
  file.files.assign(files.begin(), files.end());
  return file;
}

absl::StatusOr<std::string> ReadFileBounded(const std::string& path, size_t limit) {
  const bool standard_input = path == "-";
  const int fd = standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(path, errno);
  std::string content;
  absl::Status status;
  for (;;) {
    constexpr size_t kStep = 1024 * 1024;
    const size_t have = content.size();
    // One more than may come, to see that it is too long.
    const size_t want = limit - have < kStep ? limit - have + 1 : kStep;
    content.resize(have + want);
    const ssize_t got = read(fd, content.data() + have, want);
    content.resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = FileError(path, errno);
    if (got <= 0) break;
    if (content.size() > limit) {
      status = absl::ResourceExhaustedError("cannot read '" + path + "': larger than " +
                                            std::to_string(limit) + " bytes");
      break;
    }
  }
  if (!standard_input) close(fd);
  if (!status.ok()) return status;
  return content;
}

}  // namespace sonde
