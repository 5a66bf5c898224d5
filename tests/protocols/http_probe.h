// An HTTP probe out of YAML text and a target, driven by hand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocols/http_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/fake_files.h"
#include "tests/support/module_text.h"

namespace sonde {

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
