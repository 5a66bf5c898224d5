// The configuration in force and the way to the next one.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/contract/files.h"
#include "engine/contract/task_set.h"
#include "store/task_file.h"

namespace sonde {

inline constexpr size_t kConfigFileLimit = size_t{1} << 30;

// A file read and parsed: any thread; blocks. Files its modules name are watched and read. When
// anything is wrong nothing is taken: the error lists every place, a line each.
struct LoadedFile {
  TaskFile file;
  std::string warnings;    // "FILE:LINE:COLUMN: PATH: MESSAGE" lines
  std::string digest;      // of the file and what it includes
  bool unchanged = false;  // nothing but `digest` is filled: it is that of `before`
};
struct LoadOptions {
  Files* files = nullptr;              // null: nothing is watched
  const LoadedFile* before = nullptr;  // what is in force; equal content is not read again
};
absl::StatusOr<LoadedFile> LoadFile(const std::string& path, const LoadOptions& options);

// The modules in force as YAML, secrets masked, and the settings: /config.
std::string ConfigText(const TaskFile& file);

// `module_files`: patterns as in a shell, relative to the folder of the file that names them.
class GlobbedFiles final : public ModuleFiles {
 public:
  explicit GlobbedFiles(const std::string& main_file);
  absl::StatusOr<std::vector<File>> Read(const std::string& pattern) override;

 private:
  std::string folder_;  // with a '/', or empty
};

// Findings as they stand, so that editors find their places; the last line is ended.
void PrintLines(std::FILE* to, const std::string& lines);

// The tasks that run. Control thread.
class Configuration {
 public:
  // What has to change so that exactly `tasks` run. Records of tasks that stay are kept, with their
  // tallies; a task whose version is unchanged is not in the delta, which is in the order of
  // `tasks`. Of two with the same name the first counts.
  TaskDelta Replace(const std::vector<std::shared_ptr<const Task>>& tasks);

  // Puts the values in force in the place of equal ones that a later reading made, so that those do
  // not stay beside them. `tasks`: the last ones given to Replace, or some of them.
  void ShareValues(std::vector<std::shared_ptr<const Task>>* tasks) const;

  size_t size() const { return records_.size(); }

 private:
  struct Kept {
    uint64_t id;
    std::shared_ptr<TaskRecord> record;
  };
  const std::shared_ptr<TaskRecord>& Record(uint64_t id) const;  // of one that is there

  std::vector<Kept> records_;  // by id
};

}  // namespace sonde
