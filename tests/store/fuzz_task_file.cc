// A whole sonde.yml on any bytes, with the real probers: every task that comes out is complete.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

#include "protocols/registry.h"
#include "store/task_file.h"

namespace {

void Check(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr sonde::YamlLimits kLimits = {.bytes = 1 << 20, .depth = 20, .nodes = 20'000};
  sonde::Diagnostics diagnostics;
  const sonde::TaskFile file =
      sonde::ReadTaskFile(text, sonde::SchemaProbers(), diagnostics, kLimits);
  std::set<uint64_t> ids;
  for (const auto& task : file.tasks) {
    Check(task->prober != nullptr && task->module != nullptr && task->plan != nullptr);
    Check(task->module->prober == task->prober);
    Check(!task->name.empty() && !task->target.empty());
    Check(task->timeout > sonde::Duration{} && task->timeout <= sonde::Minutes(5));
    Check(ids.insert(task->id).second);
  }
  for (const auto& [name, module] : file.modules) Check(module->prober != nullptr);
  for (const auto& diagnostic : diagnostics.all()) {
    Check(diagnostic.message.find('\n') == std::string::npos);
  }
  return 0;
}
