// An HTTP probe out of YAML text and a target, driven by hand.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/contract/files.h"
#include "protocols/http_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde {

// Files that never touch a disk.
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

struct HttpProbeText {
  std::string target = "http://shop.example/health";
  std::string module = "";  // YAML of the http block
  std::string expect = "";  // YAML of the task's expect
};

// Aborts when the texts do not parse: tests of that use ReadModule.
inline std::unique_ptr<ConversationDriver> MakeHttpProbe(const HttpProbeText& text,
                                                         Files* files = nullptr) {
  const ModuleText module = ReadModule(HttpProber(), text.module);
  if (!module.module) {
    std::fprintf(stderr, "%s", module.errors().c_str());
    std::abort();
  }
  const TargetText target = ReadTarget(HttpProber(), text.target, *module.module, text.expect);
  if (!target.plan) {
    std::fprintf(stderr, "%s", target.errors().c_str());
    std::abort();
  }
  return std::make_unique<ConversationDriver>(HttpProber(), module.module, target.plan, text.target,
                                              files);
}

inline std::unique_ptr<ConversationDriver> StartHttpProbe(const HttpProbeText& text,
                                                          Files* files = nullptr) {
  auto probe = MakeHttpProbe(text, files);
  probe->Start();
  probe->Open();
  return probe;
}

inline std::optional<double> FactOf(ConversationDriver& probe, Fact fact) {
  return probe.result().facts.Get(fact);
}

}  // namespace sonde
