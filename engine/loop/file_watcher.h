// Files named by modules, kept in memory by a worker, so that no probe touches a disk.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/contract/files.h"
#include "engine/contract/instant.h"

namespace sonde {

class FileWatcher : public Files {
 public:
  struct Options {
    size_t largest = 1 << 20;     // bytes; a larger file is an error, not a part of it
    Duration every = Seconds(1);  // between two looks
  };

  explicit FileWatcher(const Options& options);
  FileWatcher() : FileWatcher(Options{}) {}
  ~FileWatcher() override;  // stops the worker
  FileWatcher(const FileWatcher&) = delete;
  FileWatcher& operator=(const FileWatcher&) = delete;

  uint64_t epoch() const override { return epoch_.load(std::memory_order_acquire); }
  std::shared_ptr<const FileContent> Find(std::string_view path) const override;
  // Reads on the caller's thread.
  void Watch(const std::string& path) override;

  // Told about every later change of a file's content, on the thread that looked; must be quick and
  // must not call back into this. The path is watched. Control thread, before Start.
  using Listener = std::function<void(const FileContent& content)>;
  void OnChange(const std::string& path, Listener listener);

  // Starts the worker (nice 10), which calls Look every `every`.
  absl::Status Start();
  // Stops and joins it; no listener is called afterwards. Idempotent.
  void Stop();

  // Looks at every watched file now and reads those whose (device, inode, size, time of change)
  // differ. One thread at a time: the worker's, or a test's without Start.
  void Look();

 private:
  // What tells whether a file has to be read again. All zero: it could not be opened.
  struct Identity {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified_ns = 0, changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  struct Reading {
    Identity identity;
    FileContent content;
  };
  struct Watched {
    Identity identity;
    std::shared_ptr<const FileContent> content;
    std::vector<Listener> listeners;
  };

  Reading Read(const std::string& path) const;
  static Identity Identify(const std::string& path);
  void Accept(const std::string& path, Reading reading);
  void Work();

  const Options options_;
  std::atomic<uint64_t> epoch_{1};
  mutable std::mutex mutex_;  // guards watched_; never held while a file is read
  std::map<std::string, Watched, std::less<>> watched_;
  uint64_t next_version_ = 1;
  int stop_event_ = -1;
  std::thread worker_;
};

}  // namespace sonde
