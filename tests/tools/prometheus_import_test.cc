#include "tools/sonde/prometheus_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "protocols/registry.h"
#include "tests/support/golden.h"

namespace sonde {
namespace {

using ::testing::HasSubstr;

using Labels = std::vector<std::pair<std::string, std::string>>;

// Files that are not on the disk.
class GivenFiles : public ModuleFiles {
 public:
  explicit GivenFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}
  absl::StatusOr<std::vector<File>> Read(const std::string& pattern) override {
    if (pattern == "secret.yml") return absl::PermissionDeniedError("cannot read 'secret.yml'");
    std::vector<File> found;
    for (const auto& [path, text] : files_) {
      const bool fits = pattern.ends_with("*.yml") ? path.ends_with(".yml") : path == pattern;
      if (fits) found.push_back({path, text});
    }
    return found;
  }

 private:
  std::map<std::string, std::string> files_;
};

struct Imported {
  PrometheusImport import;
  std::string messages;
  TaskFile file;  // what is made, read again
};

Imported Import(std::string_view text, std::map<std::string, std::string> named = {},
                const std::string& modules = "") {
  GivenFiles files(std::move(named));
  Diagnostics diagnostics;
  Imported done;
  TaskFile known;
  if (!modules.empty()) {
    Diagnostics good;
    known = ReadTaskFile("module_files: [" + modules + "]", SchemaProbers(), good, {}, &files);
    EXPECT_EQ(good.ToString(""), "");
  }
  done.import = ImportPrometheus(text, {modules, &known}, files, diagnostics);
  done.messages = diagnostics.ToString("p.yml");
  if (done.import.readable) {
    Diagnostics check;
    done.file = ReadTaskFile(done.import.text, SchemaProbers(), check, {}, &files);
    EXPECT_EQ(check.ToString(""), "") << done.import.text;
    EXPECT_EQ(done.file.tasks.size(), done.import.tasks);
  }
  return done;
}

// A job as blackbox_exporter's documentation writes it, with more keys and rules.
std::string Job(const std::string& keys, const std::string& rules = "") {
  return "scrape_configs:\n- job_name: blackbox\n  metrics_path: /probe\n" + keys +
         "  relabel_configs:\n"
         "  - {source_labels: [__address__], target_label: __param_target}\n"
         "  - {source_labels: [__param_target], target_label: instance}\n"
         "  - {target_label: __address__, replacement: 127.0.0.1:9115}\n" +
         rules;
}

constexpr std::string_view kWhole = R"(
global: {scrape_interval: 30s, scrape_timeout: 15s, external_labels: {region: eu}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:9100"]}]
  - job_name: blackbox
    metrics_path: /probe
    params: {module: [http_2xx]}
    static_configs:
      - targets:
          - http://prometheus.io   # the documentation's own
          - https://shop.example/a?b=c&d="e"
        labels: {team: web, application: shop}
      - targets: ["https://slow.example/"]
        labels: {__scrape_interval__: 5m, __scrape_timeout__: 1m, version: "2"}
    relabel_configs: &probe
      - source_labels: [__address__]
        target_label: __param_target
      - source_labels: [__param_target]
        target_label: instance
      - target_label: __address__
        replacement: 127.0.0.1:9115
  - job_name: tcp
    metrics_path: /probe
    scrape_interval: 10s
    params: {module: [tcp_connect]}
    file_sd_configs: [{files: ["targets.json"]}]
    relabel_configs: *probe
  - job_name: by-label
    metrics_path: /probe
    scrape_interval: 1d
    scrape_timeout: 2m
    static_configs:
      - {targets: [gateway], labels: {module: icmp}}
      - {targets: ["http://prometheus.io"], labels: {module: http_2xx}}
      - {targets: ["unwanted"], labels: {module: none}}
    relabel_configs:
      - {source_labels: [module], regex: none, action: drop}
      - {source_labels: [__address__], target_label: __param_target}
      - {source_labels: [module], target_label: __param_module}
      - {source_labels: [module, __param_target], separator: "@", regex: '(.+)@(.+)',
         target_label: instance, replacement: "$2/${1}"}
      - {regex: module, action: labeldrop}
      - {target_label: __address__, replacement: "blackbox:9115"}
  - job_name: cluster
    metrics_path: /probe
    kubernetes_sd_configs: [{role: service}]
    relabel_configs: *probe
    metric_relabel_configs: [{regex: x, action: labeldrop}]
)";

TEST(PrometheusImport, Golden) {
  const Imported done =
      Import(kWhole, {{"targets.json", R"([{"targets": ["a.example:25", "b.example:25"],
 "labels": {"site": "x"}}])"}});
  EXPECT_EQ(GoldenDifference("prometheus_import.yml", done.import.text), "");
  EXPECT_EQ(GoldenDifference("prometheus_import.txt", done.messages), "");
  EXPECT_EQ(done.import.jobs, 3u);
  EXPECT_EQ(done.import.tasks, 7u);
}

TEST(PrometheusImport, ATargetIsATask) {
  const Imported done =
      Import(Job("  scrape_interval: 20s\n  params: {module: [http_post_2xx]}\n"
                 "  static_configs: [{targets: ['https://a/'], labels: {team: web}}]\n"));
  EXPECT_EQ(done.messages, "");
  ASSERT_EQ(done.file.tasks.size(), 1u);
  const Task& task = *done.file.tasks[0];
  EXPECT_EQ(task.name, "blackbox https://a/");
  EXPECT_EQ(task.target, "https://a/");
  EXPECT_EQ(task.module->name, "http_post_2xx");
  EXPECT_EQ(task.schedule.ToString(), "20s");
  EXPECT_EQ(task.timeout, Seconds(10));
  EXPECT_EQ(task.labels,
            (Labels{{"instance", "https://a/"}, {"job", "blackbox"}, {"team", "web"}}));
}

TEST(PrometheusImport, Times) {
  const struct {
    const char* keys;
    Duration interval, timeout;
  } kRows[] = {
      {"", Minutes(1), Seconds(10)},
      {"  scrape_interval: 5s\n", Seconds(5), Seconds(5)},
      {"  scrape_interval: 1m30s\n  scrape_timeout: 1m\n", Seconds(90), Minutes(1)},
      {"  scrape_interval: 1d\n", Hours(24), Seconds(10)},
      {"  scrape_interval: 1y\n", Hours(24 * 365), Seconds(10)},
      {"  scrape_interval: 2w\n  scrape_timeout: 500ms\n", Hours(24 * 14), Milliseconds(500)},
  };
  for (const auto& row : kRows) {
    const Imported done =
        Import(Job(std::string(row.keys) + "  static_configs: [{targets: [a]}]\n"));
    EXPECT_EQ(done.messages, "") << row.keys;
    ASSERT_EQ(done.file.tasks.size(), 1u) << row.keys;
    EXPECT_EQ(done.file.tasks[0]->schedule.TypicalInterval(), row.interval) << row.keys;
    EXPECT_EQ(done.file.tasks[0]->timeout, row.timeout) << row.keys;
  }
}

// blackbox_exporter gives a probe the shorter of the two.
TEST(PrometheusImport, TheModulesTimeoutCountsWhileItIsShorter) {
  const std::map<std::string, std::string> files = {
      {"blackbox.yml",
       "modules: {quick: {prober: tcp, timeout: 3s}, slow: {prober: tcp, timeout: "
       "30s}}"}};
  const auto timeout = [&files](const std::string& module) {
    const Imported done = Import(
        Job("  params: {module: [" + module + "]}\n  static_configs: [{targets: ['a:1']}]\n"),
        files, "blackbox.yml");
    EXPECT_EQ(done.messages, "");
    EXPECT_THAT(done.import.text, HasSubstr("module_files: [blackbox.yml]\n"));
    return done.file.tasks.empty() ? Duration{} : done.file.tasks[0]->timeout;
  };
  EXPECT_EQ(timeout("quick"), Seconds(3));
  EXPECT_EQ(timeout("slow"), Seconds(10));
}

TEST(PrometheusImport, NamesAreUniqueAndShort) {
  const std::string url = "https://a/" + std::string(300, 'x');
  const Imported done =
      Import(Job("  static_configs: [{targets: [a, a, '" + url + "1', '" + url + "2']}]\n"));
  EXPECT_EQ(done.messages, "");
  ASSERT_EQ(done.file.tasks.size(), 4u);
  EXPECT_EQ(done.file.tasks[0]->name, "blackbox a");
  EXPECT_EQ(done.file.tasks[1]->name, "blackbox a (2)");
  EXPECT_EQ(done.file.tasks[3]->target, url + "2");
}

TEST(PrometheusImport, RelabelsAsPrometheusDoes) {
  const struct {
    const char* rule;
    const char* label;  // of the task: "name=value", or "name" for none, or "-" for no task
  } kRows[] = {
      {"{source_labels: [a, b], target_label: c}", "c=1;x"},
      {"{source_labels: [a, b], separator: '', target_label: c}", "c=1x"},
      {"{source_labels: [a], target_label: c, replacement: 'v${1}w$$'}", "c=v1w$"},
      {"{source_labels: [a], regex: '2', target_label: c}", "c"},
      {"{source_labels: [b], regex: '(?P<n>x)|y', target_label: c, replacement: '${n}z'}", "c=xz"},
      {"{source_labels: [b], regex: 'X', target_label: c}", "c"},
      {"{source_labels: [up], regex: 'N', target_label: c}", "c"},  // anchored
      {"{source_labels: [nix], target_label: a}", "a"},             // emptied
      {"{target_label: c, replacement: fixed}", "c=fixed"},
      {"{source_labels: [b], target_label: '${1}_c', replacement: q}", "x_c=q"},
      {"{source_labels: [up], action: lowercase, target_label: c}", "c=north"},
      {"{source_labels: [b], action: UPPERCASE, target_label: c}", "c=X"},
      {"{source_labels: [a], action: keep, regex: '1'}", "a=1"},
      {"{source_labels: [a], action: keep, regex: '2'}", "-"},
      {"{source_labels: [a], action: drop, regex: '1'}", "-"},
      {"{source_labels: [a], action: drop, regex: '2'}", "a=1"},
      {"{source_labels: [a], action: keepequal, target_label: b}", "-"},
      {"{source_labels: [a], action: dropequal, target_label: b}", "a=1"},
      {"{action: labelmap, regex: __tmp_(.+)}", "kept=yes"},
      {"{action: labelmap, regex: (a), replacement: 'new_$1'}", "new_a=1"},
      {"{action: labeldrop, regex: a|b}", "a"},
      {"{action: labelkeep, regex: 'b|__.*'}", "a"},
      // Prometheus' own numbers: promtool check service-discovery.
      {"{source_labels: [a], action: hashmod, modulus: 1000, target_label: c}", "c=291"},
      {"{source_labels: [b], action: hashmod, modulus: 7, target_label: c}", "c=4"},
  };
  for (const auto& row : kRows) {
    const Imported done =
        Import(Job("  static_configs: [{targets: [t], labels: {a: '1', b: x, up: NORTH, "
                   "__tmp_kept: yes}}]\n",
                   "  - " + std::string(row.rule) + "\n"));
    EXPECT_EQ(done.messages, "") << row.rule;
    const std::string wanted = row.label;
    ASSERT_EQ(done.file.tasks.size(), wanted == "-" ? 0u : 1u) << row.rule;
    if (wanted == "-") continue;
    const size_t equals = wanted.find('=');
    std::string found = wanted.substr(0, equals);
    for (const auto& [name, value] : done.file.tasks[0]->labels) {
      if (name == wanted.substr(0, equals)) found += "=" + value;
    }
    EXPECT_EQ(found, wanted) << row.rule;
  }
}

TEST(PrometheusImport, WhatIsLostIsSaid) {
  const std::string good = "  static_configs: [{targets: [a]}]\n";
  const struct {
    std::string text, message;
    size_t tasks;
  } kRows[] = {
      {Job(good + "  dns_sd_configs: [{names: [x]}]\n"), "p.yml:5:3: scrape_configs[0].dns_sd_c",
       1},
      {Job(good + "  metric_relabel_configs: [{regex: x}]\n"),
       "p.yml:5:3: scrape_configs[0].metric", 1},
      {Job(good + "  params: {hostname: [x]}\n"),
       "scrape_configs[0].params.hostname: tasks have no", 1},
      {Job("  params: {module: [mine]}\n  static_configs: [{targets: [a, b]}]\n"),
       "p.yml:2:3: job 'blackbox' needs module 'mine': name the file that has it with "
       "--modules\n",
       0},
      {Job("  static_configs: [{targets: [a], labels: {version: '1'}}]\n"),
       "p.yml:4:31: scrape_configs[0].static_configs[0].targets[0]: label 'version' is one", 1},
      {Job("  static_configs: [{targets: [a], labels: {target: 'b'}}]\n"), "label 'target' is one",
       1},
      {Job("  params: {module: [tcp_connect]}\n  static_configs: [{targets: [noport]}]\n"),
       "p.yml:5:31: scrape_configs[0].static_configs[0].targets[0].target: ", 0},
      {Job("  static_configs: [{targets: [{}, 1]}]\n"), "targets[0]: must be text", 1},
      {Job("  static_configs: [{targetts: [a]}]\n"), "unknown key 'targetts'", 0},
      {Job("  file_sd_configs: [{files: [none.json]}]\n"), "no file matches 'none.json'", 0},
      {Job("  file_sd_configs: [{files: [secret.yml]}]\n"), "cannot read 'secret.yml'", 0},
      {Job("  file_sd_configs: [{}]\n"), "files: is missing", 0},
      {Job("  file_sd_configs: [{files: [bad.json]}]\n"), "bad.json:1:1: must be a list", 0},
      {Job("  file_sd_configs: [{files: [good.json]}]\n"),
       "good.json:1:15: [0].targets[0]: must be text", 1},
      {Job(good, "  - {action: turn}\n"), "relabel_configs[3].action: there is no action 'turn'",
       0},
      {Job(good, "  - {regex: '('}\n"), "relabel_configs[3]", 0},
      {Job(good, "  - {action: hashmod, target_label: x}\n"), "modulus: must be above 0", 0},
      {Job(good, "  - {target_label: __param_target}\n"), "gives 'a' no __param_target", 0},
      {Job(good + "  scrape_interval: often\n"), "scrape_interval: 'often' is no duration", 0},
      {Job(good + "  scrape_timeout: 5\n"), "scrape_timeout: '5' is no duration", 0},
      {Job(good + "  scrape_timeout: 10m\n"), "timeout: must be above 0 and at most 5m", 0},
      {Job("  static_configs: [{targets: [a], labels: {__scrape_interval__: x}}]\n"),
       "targets[0]: 'x' is no duration for interval", 0},
  };
  for (const auto& row : kRows) {
    const Imported done =
        Import(row.text, {{"bad.json", "{}"}, {"good.json", "[{\"targets\": [[], \"b\"]}]"}});
    EXPECT_THAT(done.messages, HasSubstr(row.message)) << row.text;
    EXPECT_EQ(done.import.tasks, row.tasks) << row.text;
    EXPECT_TRUE(done.import.readable);
  }
}

TEST(PrometheusImport, WhatIsNotPrometheusIsRefused) {
  for (const char* text :
       {"", "- a", "modules: {}", "scrape_configs: 5", "scrape_configs: [", "x"}) {
    const Imported done = Import(text);
    EXPECT_FALSE(done.import.readable) << text;
    EXPECT_NE(done.messages, "") << text;
  }
  const Imported none = Import("scrape_configs: [{job_name: node}, 5]");
  EXPECT_TRUE(none.import.readable);
  EXPECT_EQ(none.import.tasks, 0u);
  EXPECT_THAT(none.messages, HasSubstr("p.yml:1:19: warning: scrape_configs[0].job_name: job "
                                       "'node' does not probe"));
}

}  // namespace
}  // namespace sonde
