#include "engine/loop/file_watcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/loop/thread_setup.h"

namespace sonde {
namespace {

std::string Complaint(const char* what, const std::string& path, int error) {
  return std::string(what) + " '" + path + "': " + std::generic_category().message(error);
}

int64_t Nanoseconds(const timespec& at) { return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec; }

// Reads to the end, at most `most` bytes. 0 or an errno.
int ReadAll(int fd, size_t most, std::string* out) {
  char block[64 * 1024];
  while (out->size() <= most) {
    const ssize_t count = read(fd, block, std::min(sizeof block, most + 1 - out->size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return 0;
    out->append(block, static_cast<size_t>(count));
  }
  return 0;
}

}  // namespace

FileWatcher::FileWatcher(const Options& options) : options_(options) {}

FileWatcher::~FileWatcher() { Stop(); }

std::shared_ptr<const FileContent> FileWatcher::Find(std::string_view path) const {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(path);
  if (found != watched_.end()) return found->second.content;
  auto unknown = std::make_shared<FileContent>();
  unknown->error = "file '" + std::string(path) + "' is not loaded";
  return unknown;
}

void FileWatcher::Watch(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    if (watched_.contains(path)) return;
  }
  Accept(path, Read(path));
}

void FileWatcher::OnChange(const std::string& path, Listener listener) {
  Watch(path);
  const std::lock_guard lock(mutex_);
  watched_.find(path)->second.listeners.push_back(std::move(listener));
}

FileWatcher::Identity FileWatcher::Identify(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  Identity identity;
  identity.device = status.st_dev;
  identity.inode = status.st_ino;
  identity.size = static_cast<uint64_t>(status.st_size);
  identity.modified_ns = Nanoseconds(status.st_mtim);
  identity.changed_ns = Nanoseconds(status.st_ctim);
  return identity;
}

FileWatcher::Reading FileWatcher::Read(const std::string& path) const {
  Reading reading;
  // Taken before the content: a file that changes in between is read once more.
  reading.identity = Identify(path);
  std::string& error = reading.content.error;
  // A FIFO would block the worker for good.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    error = Complaint("open", path, errno);
    return reading;
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    error = Complaint("stat", path, errno);
  } else if (!S_ISREG(status.st_mode)) {
    error = "'" + path + "' is not a regular file";
  } else if (const int problem = ReadAll(fd, options_.largest, &reading.content.data)) {
    error = Complaint("read", path, problem);
  } else if (reading.content.data.size() > options_.largest) {
    error = "'" + path + "' is larger than " + std::to_string(options_.largest) + " bytes";
  }
  close(fd);
  if (!error.empty()) reading.content.data.clear();
  return reading;
}

void FileWatcher::Accept(const std::string& path, Reading reading) {
  std::vector<Listener> listeners;
  std::shared_ptr<const FileContent> content;
  {
    const std::lock_guard lock(mutex_);
    Watched& watched = watched_[path];
    watched.identity = reading.identity;
    if (watched.content != nullptr && watched.content->data == reading.content.data &&
        watched.content->error == reading.content.error) {
      return;
    }
    reading.content.version = next_version_++;
    content = std::make_shared<const FileContent>(std::move(reading.content));
    watched.content = content;
    listeners = watched.listeners;
    epoch_.fetch_add(1, std::memory_order_release);
  }
  for (const Listener& listener : listeners) listener(*content);
}

void FileWatcher::Look() {
  std::vector<std::pair<std::string, Identity>> known;
  {
    const std::lock_guard lock(mutex_);
    known.reserve(watched_.size());
    for (const auto& [path, watched] : watched_) known.emplace_back(path, watched.identity);
  }
  for (const auto& [path, identity] : known) {
    if (Identify(path) != identity) Accept(path, Read(path));
  }
}

absl::Status FileWatcher::Start() {
  stop_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_event_ < 0) return absl::ErrnoToStatus(errno, "eventfd");
  worker_ = std::thread([this] { Work(); });
  return absl::OkStatus();
}

void FileWatcher::Stop() {
  if (!worker_.joinable()) return;
  eventfd_write(stop_event_, 1);
  worker_.join();
  close(std::exchange(stop_event_, -1));
}

void FileWatcher::Work() {
  SetUpThread("sonde-files");
  setpriority(PRIO_PROCESS, 0, 10);  // on Linux: of this thread alone
  pollfd stop{stop_event_, POLLIN, 0};
  while (poll(&stop, 1, static_cast<int>(options_.every.ns / 1'000'000)) <= 0) Look();
}

}  // namespace sonde
