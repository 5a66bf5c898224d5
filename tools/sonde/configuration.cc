#include "tools/sonde/configuration.h"

#include <glob.h>
#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "protocols/registry.h"
#include "store/module_text.h"

namespace sonde {

namespace {

// Files once read, so that what is hashed is what is parsed.
class ReadOnce final : public ModuleFiles {
 public:
  explicit ReadOnce(ModuleFiles& files) : files_(files) {}
  absl::StatusOr<std::vector<File>> Read(const std::string& pattern) override {
    const auto [found, fresh] = known_.try_emplace(pattern);
    if (fresh) found->second = files_.Read(pattern);
    return found->second;
  }

 private:
  ModuleFiles& files_;
  std::map<std::string, absl::StatusOr<std::vector<File>>> known_;
};

class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(std::string_view part) {
    const uint64_t size = part.size();
    EVP_DigestUpdate(context_, &size, sizeof size);
    EVP_DigestUpdate(context_, part.data(), part.size());
  }
  std::string Value() {
    std::string value(EVP_MAX_MD_SIZE, 0);
    unsigned size = 0;
    EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(value.data()), &size);
    value.resize(size);
    return value;
  }

 private:
  EVP_MD_CTX* context_;
};

// "" when one of them cannot be read.
std::string DigestOf(const std::string& text, const std::vector<std::string>& patterns,
                     ModuleFiles& files) {
  Digest digest;
  digest.Add(text);
  for (const std::string& pattern : patterns) {
    const auto found = files.Read(pattern);
    if (!found.ok()) return "";
    for (const ModuleFiles::File& file : *found) {
      digest.Add(file.path);
      digest.Add(file.text);
    }
  }
  return digest.Value();
}

}  // namespace

GlobbedFiles::GlobbedFiles(const std::string& main_file)
    : folder_(main_file.substr(0, main_file.rfind('/') + 1)) {}

absl::StatusOr<std::vector<ModuleFiles::File>> GlobbedFiles::Read(const std::string& pattern) {
  const std::string whole = pattern.starts_with('/') ? pattern : folder_ + pattern;
  glob_t found{};
  const int error = glob(whole.c_str(), GLOB_ERR | GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  if (error != 0 && error != GLOB_NOMATCH) {
    return absl::UnavailableError("cannot look for '" + whole + "'");
  }
  std::sort(paths.begin(), paths.end());
  std::vector<File> files;
  for (std::string& path : paths) {
    absl::StatusOr<std::string> text = ReadFileBounded(path, kConfigFileLimit);
    if (!text.ok()) return text.status();
    files.push_back({std::move(path), *std::move(text)});
  }
  return files;
}

absl::StatusOr<LoadedFile> LoadFile(const std::string& path, const LoadOptions& options) {
  absl::StatusOr<std::string> text = ReadFileBounded(path, kConfigFileLimit);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        "error reading config file: " + std::string(text.status().message()));
  }
  GlobbedFiles on_disk(path);
  ReadOnce files(on_disk);
  LoadedFile loaded;
  if (options.before != nullptr) {
    loaded.digest = DigestOf(*text, options.before->file.module_patterns, files);
    loaded.unchanged = !loaded.digest.empty() && loaded.digest == options.before->digest;
    if (loaded.unchanged) return loaded;
  }
  Diagnostics diagnostics;
  loaded.file = ReadTaskFile(*text, SchemaProbers(), diagnostics, {}, &files);
  if (!diagnostics.ok()) {
    return absl::InvalidArgumentError("error parsing config file:\n" + diagnostics.ToString(path));
  }
  loaded.warnings = diagnostics.ToString(path);
  loaded.digest = DigestOf(*text, loaded.file.module_patterns, files);
  if (options.files != nullptr) {
    for (const std::string& named : loaded.file.files) options.files->Watch(named);
  }
  return loaded;
}

std::string ConfigText(const TaskFile& file) {
  std::string text = file.module_texts.empty() ? "modules: {}\n" : "modules:\n";
  for (const auto& [name, module] : file.module_texts) {
    text.append("  ").append(YamlScalar(name)).append(":");
    if (module == "{}\n") {
      text.append(" {}\n");
    } else {
      text.append("\n").append(Indented(module, 4));
    }
  }
  text.append(file.settings_text);
  if (!file.tasks.empty()) {
    text.append("# and ").append(std::to_string(file.tasks.size())).append(" tasks\n");
  }
  return text;
}

void PrintLines(std::FILE* to, const std::string& lines) {
  std::fwrite(lines.data(), 1, lines.size(), to);
  if (!lines.empty() && lines.back() != '\n') std::fputc('\n', to);
}

TaskDelta Configuration::Replace(const std::vector<std::shared_ptr<const Task>>& tasks) {
  TaskDelta delta;
  std::unordered_set<uint64_t> wanted;
  wanted.reserve(tasks.size());
  for (const auto& task : tasks) {
    wanted.insert(task->id);
    std::shared_ptr<TaskRecord>& record = records_[task->id];
    // A task of another type is another task, its counters start anew.
    const bool fresh = record == nullptr || record->task->prober != task->prober;
    if (!fresh && record->task->version == task->version) continue;
    if (fresh) {
      record = std::make_shared<TaskRecord>(task);
    } else {
      record->Adopt(task);
    }
    delta.upserts.push_back({record, task});
  }
  for (auto it = records_.begin(); it != records_.end();) {
    if (wanted.count(it->first) == 0) {
      delta.removals.push_back(it->first);
      it = records_.erase(it);
    } else {
      ++it;
    }
  }
  return delta;
}

}  // namespace sonde
