#include "engine/loop/file_watcher.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sonde {
namespace {

class FileWatcherTest : public testing::Test {
 protected:
  FileWatcherTest() {
    std::string pattern = testing::TempDir() + "/sonde-files-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~FileWatcherTest() override { std::filesystem::remove_all(folder_); }
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    // As editors and Kubernetes do it: a new inode takes the name.
    std::ofstream(path + ".new", std::ios::binary) << text;
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  std::string folder_;
};

TEST_F(FileWatcherTest, ReadsAtOnceAndKeeps) {
  FileWatcher files;
  const std::string path = Write("token", std::string("se\0cret", 7));
  files.Watch(path);
  const auto content = files.Find(path);
  EXPECT_TRUE(content->ok());
  EXPECT_EQ(content->data, std::string("se\0cret", 7));
  EXPECT_NE(content->version, 0u);
}

TEST_F(FileWatcherTest, UnknownAndMissingFilesSaySo) {
  FileWatcher files;
  EXPECT_EQ(files.Find("/nowhere")->error, "file '/nowhere' is not loaded");
  files.Watch("/nowhere/at/all");
  EXPECT_EQ(files.Find("/nowhere/at/all")->error,
            "open '/nowhere/at/all': No such file or directory");
}

TEST_F(FileWatcherTest, SeesChangesAndOnlyChanges) {
  FileWatcher files;
  const std::string path = Write("f", "one"), other = Write("g", "same");
  files.Watch(path);
  files.Watch(other);
  const uint64_t epoch = files.epoch();
  const auto first = files.Find(path), same = files.Find(other);
  files.Look();
  EXPECT_EQ(files.epoch(), epoch);
  Write("f", "two");
  files.Look();
  EXPECT_GT(files.epoch(), epoch);
  EXPECT_EQ(files.Find(path)->data, "two");
  EXPECT_NE(files.Find(path)->version, first->version);
  EXPECT_EQ(files.Find(other), same);
  EXPECT_EQ(first->data, "one");  // whoever holds it keeps it whole
}

TEST_F(FileWatcherTest, SameTextInANewFileIsNoChange) {
  FileWatcher files;
  const std::string path = Write("f", "text");
  files.Watch(path);
  const auto before = files.Find(path);
  const uint64_t epoch = files.epoch();
  Write("f", "text");
  files.Look();
  EXPECT_EQ(files.epoch(), epoch);
  EXPECT_EQ(files.Find(path), before);
}

TEST_F(FileWatcherTest, FilesThatGoAndComeBack) {
  FileWatcher files;
  const std::string path = Write("f", "text");
  files.Watch(path);
  std::filesystem::remove(path);
  files.Look();
  EXPECT_FALSE(files.Find(path)->ok());
  EXPECT_TRUE(files.Find(path)->data.empty());
  Write("f", "back");
  files.Look();
  EXPECT_EQ(files.Find(path)->data, "back");
}

TEST_F(FileWatcherTest, SizeIsBounded) {
  FileWatcher files(FileWatcher::Options{.largest = 10, .every = Seconds(1)});
  const std::string fits = Write("a", std::string(10, 'a')), large = Write("b", "01234567890");
  files.Watch(fits);
  files.Watch(large);
  EXPECT_EQ(files.Find(fits)->data.size(), 10u);
  EXPECT_EQ(files.Find(large)->error, "'" + large + "' is larger than 10 bytes");
  EXPECT_TRUE(files.Find(large)->data.empty());
}

TEST_F(FileWatcherTest, OnlyRegularFilesAreRead) {
  FileWatcher files;
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  files.Watch(pipe);  // would block for good
  EXPECT_EQ(files.Find(pipe)->error, "'" + pipe + "' is not a regular file");
  files.Watch(folder_);
  EXPECT_FALSE(files.Find(folder_)->ok());
}

TEST_F(FileWatcherTest, TheWorkerTellsListeners) {
  FileWatcher files(FileWatcher::Options{.largest = 100, .every = Milliseconds(5)});
  const std::string path = Write("f", "one");
  const int told = eventfd(0, EFD_CLOEXEC);
  std::string seen;
  files.OnChange(path, [&](const FileContent& content) {
    seen = content.data;
    eventfd_write(told, 1);
  });
  ASSERT_TRUE(files.Start().ok());
  Write("f", "two");
  pollfd waits{told, POLLIN, 0};
  ASSERT_EQ(poll(&waits, 1, 20'000), 1);
  files.Stop();
  EXPECT_EQ(seen, "two");
  EXPECT_EQ(files.Find(path)->data, "two");
  close(told);
}

}  // namespace
}  // namespace sonde
