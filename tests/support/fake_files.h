// Files that never touch a disk.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "engine/contract/files.h"

namespace sonde {

class FakeFiles final : public Files {
 public:
  std::map<std::string, std::string> contents;

  uint64_t epoch() const override { return 1; }
  std::shared_ptr<const FileContent> Find(std::string_view path) const override {
    auto content = std::make_shared<FileContent>();
    const auto found = contents.find(std::string(path));
    if (found != contents.end()) {
      content->data = found->second;
    } else {
      content->error = "open '" + std::string(path) + "': No such file or directory";
    }
    return content;
  }
  void Watch(const std::string&) override {}
};

}  // namespace sonde
