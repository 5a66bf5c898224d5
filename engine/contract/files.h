// Files named by modules (certificates, passwords, bodies). A probe never touches a disk: a worker
// reads them, looks at most once a second whether (inode, mtime, size) changed, and hands out whole
// contents.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sonde {

struct FileContent {
  std::string data;      // empty when it could not be read
  std::string error;     // empty when it could; otherwise "open 'PATH': No such file or directory"
  uint64_t version = 0;  // changes with the content, unique within the process
  bool ok() const { return error.empty(); }
};

class Files {
 public:
  virtual ~Files() = default;
  // Any thread. Grows when any file's content changed; callers that keep something derived from a
  // file look at this first.
  virtual uint64_t epoch() const = 0;
  // The newest known content; never null. A path nobody watched is "not loaded" (an error text).
  virtual std::shared_ptr<const FileContent> Find(std::string_view path) const = 0;
  // Control thread: reads the file now and keeps watching it. Idempotent.
  virtual void Watch(const std::string& path) = 0;
};

}  // namespace sonde
