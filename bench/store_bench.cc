// How long a configuration takes to load, and what it takes of memory. The house's promise: 100,000
// tasks in under 2 s.
#include <benchmark/benchmark.h>

#include <string>

#include "bench/counted.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "store/yaml_reader.h"

namespace {

// Tasks as people write them: half in block style with labels and a module, half in flow style
// with options of their own.
std::string FileWith(int64_t tasks) {
  std::string text =
      "modules:\n"
      "  api: {prober: http, timeout: 5s, http: {valid_status_codes: [200]}}\n"
      "  port: {prober: tcp}\n"
      "tasks:\n";
  for (int64_t i = 0; i < tasks; ++i) {
    const std::string n = std::to_string(i);
    if (i % 2 == 0) {
      text += "  - name: shop-health-" + n + "\n    type: http\n    target: https://shop-" + n +
              ".example/health\n    application: shop\n    module: api\n    interval: 15s\n" +
              "    timeout: 5s\n    labels: {team: web, region: eu-" + std::to_string(i % 7) +
              "}\n    enabled: true\n";
    } else {
      text += "  - {name: port-" + n + ", type: tcp, target: 'host-" + n +
              ".example:6379', interval: 30s, tcp: {query_response: [{send: PING}, {expect: "
              "'^\\+PONG'}]}}\n";
    }
  }
  return text;
}

void BM_ReadYaml(benchmark::State& state) {
  const std::string text = FileWith(state.range(0));
  size_t arena = 0;
  sonde::Counted counted(state);
  for (auto _ : state) {
    sonde::Diagnostics diagnostics;
    const sonde::YamlDocument document = sonde::ReadYaml(text, diagnostics);
    if (!diagnostics.ok()) state.SkipWithError("the file is not good");
    arena = document.arena_bytes();
  }
  counted.Report(static_cast<int64_t>(state.iterations()) * state.range(0));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["arena_bytes_per_task"] =
      static_cast<double>(arena) / static_cast<double>(state.range(0));
}
BENCHMARK(BM_ReadYaml)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

void BM_ReadTaskFile(benchmark::State& state) {
  const std::string text = FileWith(state.range(0));
  sonde::Counted counted(state);
  for (auto _ : state) {
    sonde::Diagnostics diagnostics;
    const sonde::TaskFile file = sonde::ReadTaskFile(text, sonde::Probers(), diagnostics);
    if (!diagnostics.ok() || file.tasks.size() != static_cast<size_t>(state.range(0))) {
      state.SkipWithError("the file is not good");
    }
  }
  counted.Report(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_ReadTaskFile)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
