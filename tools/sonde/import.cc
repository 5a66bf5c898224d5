#include "tools/sonde/import.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "protocols/registry.h"
#include "store/module_text.h"
#include "store/task_file.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/prometheus_import.h"

namespace sonde {
namespace {

int Fail(const std::string& message) {
  PrintLines(stderr, "sonde import: " + message);
  return 2;
}

// The path of the modules as the file that is made has to say it.
std::string FromOutput(const ImportOptions& options) {
  if (options.output.empty()) return options.modules;
  const auto folder = std::filesystem::path(options.output).parent_path();
  std::error_code error;
  const auto path = std::filesystem::proximate(options.modules, folder, error);
  const bool relative = !options.modules.starts_with('/') && !folder.empty() && !error;
  return relative ? path.string() : options.modules;
}

// A glob that matches this path and no other.
std::string AsPattern(std::string_view path) {
  std::string pattern;
  for (const char c : path) {
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern;
}

// The modules as `module_files` of what is made will have them, and nothing else.
absl::StatusOr<TaskFile> LoadModules(const std::string& path) {
  const auto readable = ReadFileBounded(path, kConfigFileLimit);
  if (!readable.ok()) return readable.status();
  GlobbedFiles here("");
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile("module_files: [" + YamlScalar(AsPattern(path)) + "]\n",
                               SchemaProbers(), diagnostics, {}, &here);
  if (!diagnostics.ok()) return absl::InvalidArgumentError(diagnostics.ToString("--modules"));
  return file;
}

bool WriteFile(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

int ImportPrometheusFile(const ImportOptions& options) {
  const auto text = ReadFileBounded(options.file, kConfigFileLimit);
  if (!text.ok()) return Fail(std::string(text.status().message()));
  absl::StatusOr<TaskFile> loaded;
  ImportModules modules;
  if (!options.modules.empty()) {
    loaded = LoadModules(options.modules);
    if (!loaded.ok()) return Fail(std::string(loaded.status().message()));
    modules = {AsPattern(FromOutput(options)), &*loaded};
  }
  Diagnostics diagnostics;
  GlobbedFiles files(options.file);
  const PrometheusImport import = ImportPrometheus(*text, modules, files, diagnostics);
  PrintLines(stderr, diagnostics.ToString(options.file));
  if (!import.readable) return 2;
  if (options.output.empty()) {
    PrintLines(stdout, import.text);
  } else if (!WriteFile(options.output, import.text)) {
    return Fail("cannot write '" + options.output + "': " + std::strerror(errno));
  }
  std::fprintf(stderr, "%s: %zu tasks of %zu jobs\n", options.file.c_str(), import.tasks,
               import.jobs);
  return diagnostics.ok() ? 0 : 1;
}

}  // namespace sonde
