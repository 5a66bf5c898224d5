// A prober that only reads configuration, for tests of the readers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/contract/siphash.h"
#include "engine/contract/task.h"

namespace sonde {

struct FakeModule : Module {
  std::string text;
};

// Block: {text: anything, file: PATH}; targets must contain a ':'; expect: {status: 200, takes:
// 1s}.
class FakeProber : public Prober {
 public:
  explicit FakeProber(std::string_view name) : name_(name) {}

  std::string_view name() const override { return name_; }

  std::shared_ptr<Module> ParseModule(const ConfigNode* block, const std::string& path,
                                      Diagnostics& diagnostics) const override {
    ++modules_parsed;
    const size_t errors = diagnostics.errors();
    auto module = std::make_shared<FakeModule>();
    ConfigReader in(block, path, diagnostics);
    std::string file;
    in.String("text", &module->text);
    if (in.String("file", &file)) module->files.push_back(file);
    in.Finish();
    module->content_hash = SipHash24(1, 2, module->text + '\0' + file);
    return diagnostics.errors() > errors ? nullptr : module;
  }

  std::shared_ptr<const TargetPlan> ParseTarget(std::string_view target, Mark mark,
                                                const ConfigNode* expect, const Module&,
                                                const std::string& path,
                                                Diagnostics& diagnostics) const override {
    const size_t errors = diagnostics.errors();
    if (target.find(':') == std::string_view::npos) diagnostics.Error(mark, path, "no port");
    ConfigReader in(expect, path + ".expect", diagnostics);
    int64_t status = 0;
    in.Int("status", &status, 100, 599);
    auto plan = std::make_shared<TargetPlan>();
    in.Time("takes", &plan->needs_longer_than);
    in.Finish();
    if (diagnostics.errors() > errors) return nullptr;
    plan->destination = std::string(target);
    return plan;
  }

  Conversation* Make(void*, const Task&, const ConversationContext&) const override {
    return nullptr;
  }

  mutable int modules_parsed = 0;

 private:
  std::string_view name_;
};

}  // namespace sonde
