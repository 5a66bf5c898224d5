#include "tools/sonde/probe.h"

#include <algorithm>
#include <cstdio>
#include <future>
#include <nlohmann/json.hpp>

#include "engine/loop/engine.h"
#include "protocols/registry.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/probe_report.h"
#include "tools/sonde/single_task.h"

namespace sonde {
namespace {

// A quoted YAML scalar is a JSON string.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Flags that stand for keys of the dns block.
bool HasShortcuts(const ProbeOptions& options) {
  return !options.server.empty() || !options.query_type.empty();
}

// The protocol's block; "" for none.
std::string BlockText(const ProbeOptions& options) {
  if (!HasShortcuts(options)) return options.options;
  std::string text = "{";
  if (!options.server.empty()) text += "server: " + Quoted(options.server) + ", ";
  if (!options.query_type.empty()) text += "query_type: " + Quoted(options.query_type);
  return text + "}";
}

// The task as a line of a file: the same rules, the same messages.
std::string TaskText(const ProbeOptions& options) {
  std::string text = "{name: probe, type: " + Quoted(options.type) +
                     ", target: " + Quoted(options.target) + ", interval: 1h";
  if (!options.timeout.empty()) text += ", timeout: " + Quoted(options.timeout);
  if (!options.module.empty()) text += ", module: " + Quoted(options.module);
  const std::string block = BlockText(options);
  const Prober* prober = FindProber(options.type);  // PING: the block is called icmp
  const std::string name(prober ? prober->name() : options.type);
  if (!block.empty()) text += ", " + name + ": " + block;
  if (!options.expect.empty()) text += ", expect: " + options.expect;
  return text + "}";
}

int Usage(std::string_view message) {
  std::fprintf(stderr, "sonde probe: %.*s\n", static_cast<int>(message.size()), message.data());
  return 2;
}

// Without places: the text they count in is made here, nobody has written it. Warnings about other
// modules of the file are not about this probe.
void PrintFindings(const Diagnostics& diagnostics) {
  for (const Diagnostic& found : diagnostics.all()) {
    if (!found.is_error && found.path.starts_with("modules")) continue;
    const size_t dots = std::min(found.path.find_first_not_of('.'), found.path.size());
    const std::string path = found.path.substr(dots);
    Usage((found.is_error ? "" : "warning: ") + (path.empty() ? "" : path + ": ") + found.message);
  }
}

}  // namespace

int Probe(const ProbeOptions& options) {
  std::string modules;
  if (!options.module.empty() && options.config_file.empty()) {
    return Usage("--module is looked up in a file: --config.file is missing");
  }
  if (HasShortcuts(options) && !(options.options.empty() && options.module.empty())) {
    return Usage(
        "--server and --query-type stand for '{server: ..., query_type: ...}': with "
        "--options or --module they belong there");
  }
  if (!options.config_file.empty()) {
    auto text = ReadFileBounded(options.config_file, kConfigFileLimit);
    if (!text.ok()) return Usage(std::string(text.status().message()));
    modules = *std::move(text);
  }
  Diagnostics diagnostics;
  GlobbedFiles module_files(options.config_file);
  const SingleTask single = ReadSingleTask(TaskText(options), modules, &module_files, diagnostics);
  if (!single.config_good) {
    PrintLines(stderr, diagnostics.ToString(options.config_file));
    return 2;
  }
  PrintFindings(diagnostics);
  if (!diagnostics.ok() || !single.task) return 2;

  FileWatcher files;
  for (const std::string& named : single.files) files.Watch(named);
  Engine::Options engine_options;
  engine_options.settings.shards = 1;
  engine_options.policy = std::make_shared<ProbePolicy>(single.policy);
  auto engine = Engine::Start(engine_options, files, nullptr);
  if (!engine.ok()) return Usage(std::string(engine.status().message()));

  std::promise<Runner::Answer> promise;
  std::future<Runner::Answer> answer = promise.get_future();
  (*engine)->RunNow(single.task,
                    [&promise](Runner::Answer given) { promise.set_value(std::move(given)); });
  const Runner::Answer given = answer.get();
  (*engine)->Stop();
  const std::string report =
      options.json ? ProbeReportJson(*single.task, given) : ProbeReportText(*single.task, given);
  std::fwrite(report.data(), 1, report.size(), stdout);
  switch (given.result.verdict()) {
    case Verdict::kSuccess:
      return 0;
    case Verdict::kFailed:
      return 1;
    case Verdict::kInconclusive:
      break;
  }
  return 2;
}

}  // namespace sonde
