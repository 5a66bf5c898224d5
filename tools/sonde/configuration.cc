#include "tools/sonde/configuration.h"

#include <glob.h>
#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <utility>

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

// The new tasks by id and the records there are, by id too, are walked side by side.
TaskDelta Configuration::Replace(const std::vector<std::shared_ptr<const Task>>& tasks) {
  std::vector<std::pair<uint64_t, size_t>> wanted;  // id, place in the file
  wanted.reserve(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) wanted.emplace_back(tasks[i]->id, i);
  std::sort(wanted.begin(), wanted.end());
  TaskDelta delta;
  std::vector<Kept> kept;
  kept.reserve(wanted.size());
  std::vector<size_t> changed;  // places in the file
  auto old = records_.begin();
  for (const auto& [id, place] : wanted) {
    if (!kept.empty() && kept.back().id == id) continue;  // of two with one name the first counts
    for (; old != records_.end() && old->id < id; ++old) delta.removals.push_back(old->id);
    const bool known = old != records_.end() && old->id == id;
    kept.push_back({id, known ? std::move((old++)->record) : nullptr});
    std::shared_ptr<TaskRecord>& record = kept.back().record;
    const std::shared_ptr<const Task>& task = tasks[place];
    // A task of another type is another task, its counters start anew.
    if (record == nullptr || record->task->prober != task->prober) {
      record = std::make_shared<TaskRecord>(task);
    } else if (record->task->version == task->version) {
      continue;
    } else {
      record->Adopt(task);
    }
    changed.push_back(place);
  }
  for (; old != records_.end(); ++old) delta.removals.push_back(old->id);
  records_ = std::move(kept);
  std::sort(changed.begin(), changed.end());
  delta.upserts.reserve(changed.size());
  for (const size_t place : changed) {
    delta.upserts.push_back({Record(tasks[place]->id), tasks[place]});
  }
  return delta;
}

void Configuration::ShareValues(std::vector<std::shared_ptr<const Task>>* tasks) const {
  for (std::shared_ptr<const Task>& task : *tasks) {
    const std::shared_ptr<const Task>& in_force = Record(task->id)->task;
    if (in_force->version == task->version) task = in_force;
  }
}

const std::shared_ptr<TaskRecord>& Configuration::Record(uint64_t id) const {
  return std::lower_bound(records_.begin(), records_.end(), id,
                          [](const Kept& kept, uint64_t wanted) { return kept.id < wanted; })
      ->record;
}

}  // namespace sonde
