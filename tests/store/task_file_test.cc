#include "store/task_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/store/fake_prober.h"

namespace sonde {
namespace {

const FakeProber kHttp("http");
const FakeProber kTcp("tcp");
const std::array<const Prober*, 2> kProbers = {&kHttp, &kTcp};

struct Loaded {
  TaskFile file;
  std::string messages;
  bool ok;
};

Loaded Load(std::string_view text) {
  Diagnostics diagnostics;
  Loaded loaded;
  loaded.file = ReadTaskFile(text, kProbers, diagnostics);
  loaded.messages = diagnostics.ToString("");
  loaded.ok = diagnostics.ok();
  return loaded;
}

FamilySet Groups(std::initializer_list<FamilyGroup> groups) {
  FamilySet set;
  for (const FamilyGroup group : groups) set.Add(group);
  return set;
}

// The task of a file with one line per key.
std::string OneTask(const std::string& lines) {
  return "tasks:\n- name: a\n  type: http\n  target: x:1\n" + lines;
}

TEST(TaskFile, AWholeFile) {
  const Loaded loaded = Load(R"(
modules:
  api: {prober: http, timeout: 3s, http: {text: hello, file: /secret}}
  plain: {prober: tcp}
tasks:
  - name: shop-health
    type: http
    target: https://shop.example/health
    application: shop
    module: api
    interval: 15s
    timeout: 4s
    expect: {status: 200}
    labels: {team: web, area: "1"}
  - {name: redis, target: "r:6379", module: plain, interval: 1d, enabled: no}
  - {name: inline, type: TCP, target: "r:6380", tcp: {text: x, file: /another}}
  - {name: cron, type: Http, target: "r:1", cron: "*/30 * * * * *", timezone: Europe/Berlin, spread: 0}
engine:
  shards: 2
  max_in_flight: 500
  max_handshakes: 64
  max_descriptors: 4096
  transmit_stamps: true
  io: io_uring
  per_destination: {max_in_flight: 2, rate: 0.5}
  body_memory: 32MiB
  body_memory_per_probe: 1MB
metrics: {families: [core, tls]}
policy: {deny: [metadata]}
federation: {external_labels: {region: eu, cluster: "1"}}
)");
  EXPECT_EQ(loaded.messages, "");
  ASSERT_EQ(loaded.file.tasks.size(), 4u);
  const Task& shop = *loaded.file.tasks[0];
  EXPECT_EQ(shop.name, "shop-health");
  EXPECT_EQ(shop.id, TaskIdOf("shop-health"));
  EXPECT_EQ(shop.prober, &kHttp);
  EXPECT_EQ(shop.target, "https://shop.example/health");
  EXPECT_EQ(shop.application, "shop");
  EXPECT_EQ(shop.module, loaded.file.modules.at("api"));
  EXPECT_EQ(shop.plan->destination, shop.target);
  EXPECT_EQ(shop.schedule, *Schedule::Every(Seconds(15)));
  EXPECT_EQ(shop.timeout, Seconds(4));
  EXPECT_TRUE(shop.enabled);
  const std::vector<std::pair<std::string, std::string>> labels = {{"area", "1"}, {"team", "web"}};
  EXPECT_EQ(shop.labels, labels);

  const Task& redis = *loaded.file.tasks[1];
  EXPECT_EQ(redis.prober, &kTcp);
  EXPECT_EQ(redis.schedule, *Schedule::Every(Hours(24)));
  EXPECT_EQ(redis.timeout, Seconds(5));
  EXPECT_FALSE(redis.enabled);

  const Task& inlined = *loaded.file.tasks[2];
  EXPECT_EQ(inlined.prober, &kTcp);
  EXPECT_EQ(inlined.module->name, "");
  EXPECT_EQ(static_cast<const FakeModule&>(*inlined.module).text, "x");
  EXPECT_EQ(inlined.schedule, *Schedule::Every(Minutes(1)));

  EXPECT_EQ(loaded.file.tasks[3]->schedule,
            *Schedule::Cron("*/30 * * * * *", "Europe/Berlin", Duration{}));

  EXPECT_EQ(loaded.file.modules.at("api")->timeout, Seconds(3));
  EXPECT_EQ(loaded.file.modules.at("api")->name, "api");
  EXPECT_EQ(loaded.file.files, (std::vector<std::string>{"/another", "/secret"}));
  EngineSettings engine;
  engine.shards = 2;
  engine.max_in_flight = 500;
  engine.max_handshakes = 64;
  engine.max_descriptors = 4096;
  engine.transmit_stamps = true;
  engine.io = EngineSettings::Io::kUring;
  engine.per_destination = {2, 0.5};
  engine.body_memory = 32 << 20;
  engine.body_memory_per_probe = 1 << 20;
  EXPECT_EQ(loaded.file.engine, engine);
  EXPECT_EQ(loaded.file.metrics.families, Groups({FamilyGroup::kCore, FamilyGroup::kTls}));
  EXPECT_EQ(shop.metrics, (TaskMetrics{*loaded.file.metrics.families, true}));
  EXPECT_FALSE(loaded.file.policy.CheckAddress(*Address::ParseLiteral("169.254.169.254")).allowed);
  const std::vector<std::pair<std::string, std::string>> external = {{"cluster", "1"},
                                                                     {"region", "eu"}};
  EXPECT_EQ(loaded.file.external_labels, external);
  EXPECT_NE(loaded.file.settings_text.find("federation:"), std::string::npos);
}

TEST(TaskFile, Defaults) {
  const Loaded loaded = Load("modules:\n");
  EXPECT_EQ(loaded.messages, "");
  EXPECT_TRUE(loaded.file.tasks.empty());
  EXPECT_EQ(loaded.file.engine, EngineSettings{});
  EXPECT_EQ(loaded.file.metrics, MetricsSettings{});
  EXPECT_TRUE(loaded.file.policy.empty());
  EXPECT_EQ(Load("---\n").messages, "");
  EXPECT_EQ(Load("modules: {}\ntasks:\nengine:\nmetrics:\npolicy:\nfederation:\n").messages, "");
  EXPECT_EQ(Load("").messages, "1:1: the file is empty (EOF)\n");
}

TEST(TaskFile, TheModulesTimeoutIsTheTasksDefault) {
  const Loaded loaded = Load(
      "modules:\n  m: {prober: http, timeout: 7s}\n  n: {prober: http, timeout: -1s}\n"
      "tasks:\n- {name: a, module: m, target: 'x:1'}\n- {name: b, module: n, target: 'x:1'}\n");
  EXPECT_EQ(loaded.messages, "");
  EXPECT_EQ(loaded.file.tasks[0]->timeout, Seconds(7));
  EXPECT_EQ(loaded.file.tasks[1]->timeout, Seconds(5));  // 0 and below count as unset
}

struct Case {
  const char* text;
  const char* messages;
};

TEST(TaskFile, TopLevel) {
  static constexpr Case kCases[] = {
      {"modules: {}\ntask: []\n", "2:1: unknown key 'task' (did you mean 'tasks'?)\n"},
      {"x-anchors: {}\n", "1:1: unknown key 'x-anchors'\n"},
      {"tasks: {a: 1}\nmodules: []\n",
       "2:10: modules: must be a mapping, not a list\n1:8: tasks: must be a list, not a mapping\n"},
      {"tasks: [~, 5, [a]]\n",
       "1:9: tasks[0]: must be a mapping with name, type and target\n"
       "1:12: tasks[1]: must be a mapping with name, type and target\n"
       "1:15: tasks[2]: must be a mapping with name, type and target\n"},
      {"- a\n", "1:1: must be a mapping, not a list\n"},
      {"hello\n", "1:1: must be a mapping, not 'hello'\n"},
      {"engine: {shards: 1000, max_in_flight: 0, body_memory: 1KB, threads: 2}\n",
       "1:18: engine.shards: must be between 0 and 256\n"
       "1:39: engine.max_in_flight: must be between 1 and 10000000\n"
       "1:42: engine.body_memory: must be at least 64KB\n"
       "1:60: engine: unknown key 'threads'\n"},
      {"engine: {per_destination: {rate: -1, max: 2}}\n",
       "1:34: engine.per_destination.rate: must be between 0 and 1000000\n"
       "1:38: engine.per_destination: unknown key 'max'\n"},
      {"metrics: {families: [core, phase]}\n",
       "1:28: metrics.families: there is no group of families 'phase' (did you mean 'phases'?); "
       "there are core, phases, histogram, ratios, tls and native\n"},
      {"metrics: {families: core, recent: 60}\n",
       "1:21: metrics.families: must be a list, not 'core'\n"
       "1:35: metrics.recent: must be true or false, not '60'\n"},
      {"federation: {external_labels: {a-b: x, __a: y, name: z, c: \"\\xff\"}, labels: {}}\n",
       "1:32: federation.external_labels: label name 'a-b' must consist of letters, digits and _, "
       "and not begin with a digit\n"
       "1:40: federation.external_labels: label name '__a' is reserved: names with __ are "
       "Prometheus'\n"
       "1:69: federation: unknown key 'labels'\n"},
      {"federation: {external_labels: [a]}\n",
       "1:31: federation.external_labels: must be a mapping, not a list\n"},
      {"policy: {allow: ['10.0.0.0/40']}\n",
       "1:18: policy.allow[0]: must be a network (10.0.0.0/8), a name (*.internal), a port (:25, "
       ":8000-8999), a scheme (scheme:http) or one of loopback, link-local, private, metadata; not "
       "'10.0.0.0/40'\n"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Load(c.text).messages, c.messages) << c.text;
}

TEST(TaskFile, Modules) {
  static constexpr Case kCases[] = {
      {"modules: {a: {timeout: 5s}}\n", "1:14: modules.a.prober: prober '' is not valid\n"},
      {"modules: {a: {prober: htp}}\n",
       "1:15: modules.a.prober: prober 'htp' is not valid (did you mean 'http'?)\n"},
      {"modules: {a: {prober: HTTP}}\n",
       "1:15: modules.a.prober: prober 'HTTP' is not valid (did you mean 'http'?)\n"},
      {"modules: {a: {prober: http, timeout: 5}}\n",
       "1:38: modules.a.timeout: must be a duration such as 300ms, 5s or 1m30s, not '5' (the unit "
       "is missing)\n"},
      {"modules: {a: {prober: http, timeout: 1d}}\n",
       "1:38: modules.a.timeout: must be a duration such as 300ms, 5s or 1m30s, not '1d' (d and w "
       "are not units here)\n"},
      {"modules: {a: {prober: http, htp: {}}}\n",
       "1:29: modules.a: unknown key 'htp' (did you mean 'http'?)\n"},
      {"modules: {a: {prober: http, http: {txt: 1}}}\n",
       "1:36: modules.a.http: unknown key 'txt' (did you mean 'text'?)\n"},
      {"modules: {a: {prober: http, metrics: {families: [cores], of: 1}}}\n",
       "1:50: modules.a.metrics.families: there is no group of families 'cores' (did you mean "
       "'core'?); there are core, phases, histogram, ratios, tls and native\n"
       "1:58: modules.a.metrics: unknown key 'of'\n"},
      {"modules: {a: {prober: http, metrics: [core]}}\n",
       "1:38: modules.a.metrics: must be a mapping, not a list\n"},
      // Blocks of other probers are checked as well.
      {"modules: {a: {prober: http, tcp: {nope: 1}}}\n",
       "1:35: modules.a.tcp: unknown key 'nope'\n"},
      {"modules: {a: {prober: http, tcp: , http: }}\n", ""},
      {"modules: {a: {prober: http, dns: {x: 1}}}\n",
       "1:29: warning: modules.a.dns: is not checked: this version has no prober 'dns'\n"},
      {"modules: {a: {prober: dns, dns: {x: 1}}}\n",
       "1:15: warning: modules.a.prober: module 'a' is not usable: this version has no prober "
       "'dns'\n"},
      {"modules:\n  a:\n",
       "2:3: warning: modules.a: the module is empty: nothing can be probed "
       "with it\n"},
      {"modules: {a: 5}\n", "1:14: modules.a: must be a mapping, not '5'\n"},
      {"modules: {a: {prober: tcp}, a: {prober: http}}\n",
       "1:29: key 'a' is already given in line 1\n"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Load(c.text).messages, c.messages) << c.text;
}

TEST(TaskFile, MetricsOfTheFileAndOfModules) {
  const char* const kTasks =
      "tasks:\n- {name: a, module: plain, target: 'x:1'}\n- {name: b, module: narrow, target: "
      "'x:1'}\n- {name: c, module: native, target: 'x:1'}\n- {name: d, type: tcp, target: 'x:1'}\n";
  const std::string modules =
      "modules:\n  plain: {prober: http}\n  narrow: {prober: http, metrics: {families: [core], "
      "recent: no}}\n  native: {prober: http, metrics: {families: [core, native]}}\n";
  const auto metrics = [&](const std::string& line) {
    const Loaded loaded = Load(modules + line + kTasks);
    EXPECT_EQ(loaded.messages, "");
    std::vector<TaskMetrics> all;
    for (const auto& task : loaded.file.tasks) all.push_back(task->metrics);
    all.resize(4);
    return all;
  };
  const TaskMetrics narrow{Groups({FamilyGroup::kCore}), false};
  const FamilySet native = Groups({FamilyGroup::kCore, FamilyGroup::kNative});
  // Where nothing is said: all but native, and last results because there are few tasks.
  const TaskMetrics usual{FamilySet::Default(), true};
  EXPECT_FALSE(usual.families.Has(FamilyGroup::kNative));
  EXPECT_EQ(metrics(""), (std::vector<TaskMetrics>{usual, narrow, {native, true}, usual}));
  // A module's word stands in place of the file's, key by key.
  const TaskMetrics ratios{Groups({FamilyGroup::kRatios}), false};
  EXPECT_EQ(metrics("metrics: {families: [ratios], recent: false}\n"),
            (std::vector<TaskMetrics>{ratios, narrow, {native, false}, ratios}));
  const TaskMetrics none{FamilySet::None(), true};
  EXPECT_EQ(metrics("metrics: {families: []}\n")[3], none);
  EXPECT_EQ(metrics("metrics:\n")[3], usual);
}

TEST(TaskFile, ManyTasksKeepTheirLastResultsWhenToldTo) {
  const auto load = [](size_t tasks, const std::string& metrics) {
    std::string text = metrics + "tasks:\n";
    for (size_t i = 0; i < tasks; ++i) {
      text += "- {name: t" + std::to_string(i) + ", type: tcp, target: 'x:1'}\n";
    }
    const Loaded loaded = Load(text);
    EXPECT_EQ(loaded.messages, "");
    return loaded.file.tasks.back()->metrics.recent;
  };
  EXPECT_TRUE(load(TaskFile::kRecentTasks, ""));
  EXPECT_FALSE(load(TaskFile::kRecentTasks + 1, ""));
  EXPECT_TRUE(load(TaskFile::kRecentTasks + 1, "metrics: {recent: true}\n"));
}

TEST(TaskFile, UnusableModules) {
  const Loaded loaded = Load(
      "modules: {d: {prober: dns}, n: , b: {prober: http, http: {nope: 1}}, g: {prober: http}}\n"
      "tasks:\n- {name: a, module: d, target: 'x:1'}\n- {name: b, module: n, target: 'x:1'}\n"
      "- {name: c, module: b, target: 'x:1'}\n- {name: d, module: g, target: 'x:1'}\n"
      "- {name: e, module: gg, target: 'x:1'}\n- {name: f, module: g, type: tcp, target: 'x:1'}\n"
      "- {name: h, type: dns, target: 'x:1'}\n- {name: i, type: PING, target: 'x:1'}\n");
  EXPECT_EQ(loaded.messages,
            "1:15: warning: modules.d.prober: module 'd' is not usable: this version has no prober "
            "'dns'\n"
            "1:29: warning: modules.n: the module is empty: nothing can be probed with it\n"
            "1:59: modules.b.http: unknown key 'nope'\n"
            "3:13: tasks[0].module: module 'd' needs the prober 'dns', which this version does not "
            "have\n"
            "4:13: tasks[1].module: module 'n' is empty: it has no prober\n"
            // tasks[2]: its module's error stands above already
            "7:13: tasks[4].module: there is no module 'gg' (did you mean 'g'?)\n"
            "8:13: tasks[5].module: module 'g' is for http, not for tcp\n"
            "9:13: tasks[6].type: this version has no prober 'dns'\n"
            "10:13: tasks[7].type: this version has no prober 'icmp'\n");
  ASSERT_EQ(loaded.file.tasks.size(), 1u);
  EXPECT_EQ(loaded.file.tasks[0]->name, "d");
  EXPECT_EQ(loaded.file.modules.size(), 1u);
  EXPECT_EQ(loaded.file.unusable_modules.at("d"), "dns");
  EXPECT_EQ(loaded.file.unusable_modules.at("n"), "");
}

TEST(TaskFile, TasksKeysAndTypes) {
  static constexpr Case kCases[] = {
      {"tasks: [{}]\n",
       "1:9: tasks[0].name: is missing\n1:9: tasks[0].type: is missing\n"
       "1:9: tasks[0].target: is missing\n"},
      {"tasks: [{name: a, type: htpp, target: 'x:1'}]\n",
       "1:19: tasks[0].type: there is no type 'htpp' (did you mean 'http'?)\n"},
      {"tasks: [{name: a, type: [http], target: 'x:1'}]\n",
       "1:25: tasks[0].type: must be text, not a list\n"},
      {"tasks: [{name: a, target: 'x:1', http: {text: y}}]\n", ""},  // the block says the type
      {"tasks: [{name: a, type: http, target: 'x:1', tcp: {}}]\n",
       "1:46: tasks[0].tcp: does not belong to a task of type http\n"},
      {"tasks: [{name: a, type: http, target: 'x:1', tcp: {}, http: {}}]\n",
       "1:46: tasks[0].tcp: a task has one block, and 'http' is there\n"},
      {"modules: {m: {prober: http}}\ntasks: [{name: a, module: m, target: 'x:1', http: {}}]\n",
       "2:45: tasks[0].http: a task has a module or a block of its own, not both\n"},
      {"tasks: [{name: a, type: http, target: 'x:1', intervall: 5s, label: {}}]\n",
       "1:46: tasks[0]: unknown key 'intervall' (did you mean 'interval'?)\n"
       "1:61: tasks[0]: unknown key 'label' (did you mean 'labels'?)\n"},
      {"tasks: [{name: a, type: http, target: nope}]\n", "1:39: tasks[0]: no port\n"},
      {"tasks: [{name: a, type: http, target: ''}]\n",
       "1:31: tasks[0].target: must not be empty\n"},
      {"tasks: [{name: a, type: http, target: \"x:1\\n\"}]\n",
       "1:31: tasks[0].target: must not contain control characters\n"},
      {"tasks: [{name: a, type: http, target: 'x:1', expect: {status: 99, x: 1}}]\n",
       "1:63: tasks[0].expect.status: must be between 100 and 599\n"
       "1:67: tasks[0].expect: unknown key 'x'\n"},
      {"tasks: [{name: a, type: http, target: 'x:1', enabled: 1}]\n",
       "1:55: tasks[0].enabled: must be true or false, not '1'\n"},
      {"tasks: [{name: '', type: http, target: 'x:1'}]\n",
       "1:10: tasks[0].name: must not be empty\n"},
      {"tasks: [{name: [], type: http, target: 'x:1'}]\n",
       "1:16: tasks[0].name: must be text, not a list\n"},
      {"tasks: [{name: !!binary /w==, type: http, target: 'x:1'}]\n",
       "1:10: tasks[0].name: is not UTF-8 text\n"},
      {"tasks: [{name: 5, type: http, target: 'x:1'}, {name: '5', type: http, target: 'x:1'}]\n",
       "1:54: tasks[1].name: name '5' is already used in line 1\n"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Load(c.text).messages, c.messages) << c.text;
}

TEST(TaskFile, NamesHaveALimit) {
  const auto named = [](size_t length) {
    return Load("tasks: [{name: " + std::string(length, 'n') + ", type: http, target: 'x:1'}]\n");
  };
  EXPECT_EQ(named(200).messages, "");
  EXPECT_EQ(named(201).messages, "1:10: tasks[0].name: is longer than 200 bytes\n");
}

TEST(TaskFile, Schedules) {
  const Case cases[] = {
      {"  interval: 10ms\n", ""},
      {"  interval: 2w\n", ""},
      {"  interval: 9ms\n",
       "5:3: tasks[0].interval: interval 9ms is not within 10ms and "
       "8784h0m0s\n"},
      {"  interval: 15\n",
       "5:13: tasks[0].interval: must be a duration such as 300ms, 5s or 1m30s "
       "or 1d, not '15' (the unit is missing)\n"},
      {"  interval: 1m\n  cron: '@hourly'\n",
       "6:3: tasks[0].cron: a task has an interval or a cron schedule, not both\n"},
      {"  timezone: UTC\n  spread: 1s\n",
       "5:3: tasks[0].timezone: goes with cron only\n"
       "6:3: tasks[0].spread: goes with cron only\n"},
      {"  cron: '0 0 * * *'\n  spread: 0\n", ""},
      {"  cron: '0 0 * * *'\n  spread: 10m\n", ""},
      {"  cron: '0 0 * * *'\n  spread: 10\n",
       "6:11: tasks[0].spread: must be a duration such as 300ms, 5s or 1m30s or 1d, not '10' (the "
       "unit is missing)\n"},
  };
  for (const Case& c : cases) EXPECT_EQ(Load(OneTask(c.text)).messages, c.messages) << c.text;
  // The place is that of the key to mend.
  const Case wrong[] = {
      {"  cron: nonsense\n", "5:3: tasks[0].cron: "},
      {"  cron: '0 0 * * *'\n  timezone: Mars/Base\n", "6:3: tasks[0].timezone: "},
      {"  cron: nonsense\n  timezone: Mars/Base\n", "6:3: tasks[0].timezone: "},
      {"  cron: '* * * * *'\n  timezone: UTC\n  spread: 2h\n", "7:3: tasks[0].spread: "},
  };
  for (const Case& c : wrong) {
    const Loaded loaded = Load(OneTask(c.text));
    EXPECT_FALSE(loaded.ok) << c.text;
    EXPECT_TRUE(loaded.messages.starts_with(c.messages)) << loaded.messages;
    EXPECT_TRUE(loaded.file.tasks.empty());
  }
}

TEST(TaskFile, Timeouts) {
  const Case cases[] = {
      {"  timeout: 5m\n", ""},
      {"  timeout: 1ms\n", ""},
      {"  timeout: 5m1ns\n", "5:3: tasks[0].timeout: must be above 0 and at most 5m0s\n"},
      {"  timeout: 0s\n", "5:3: tasks[0].timeout: must be above 0 and at most 5m0s\n"},
      {"  timeout: -1s\n", "5:3: tasks[0].timeout: must be above 0 and at most 5m0s\n"},
      {"  timeout: 1d\n", "5:3: tasks[0].timeout: must be above 0 and at most 5m0s\n"},
  };
  for (const Case& c : cases) EXPECT_EQ(Load(OneTask(c.text)).messages, c.messages) << c.text;
  EXPECT_EQ(Load("modules: {m: {prober: http, timeout: 6m}}\n"
                 "tasks: [{name: a, module: m, target: 'x:1'}]\n")
                .messages,
            "2:9: tasks[0].timeout: must be above 0 and at most 5m0s; the module's is 6m0s\n");
}

TEST(TaskFile, WarnsOfATimeoutTooShortForItsProbe) {
  const Loaded loaded = Load(OneTask("  timeout: 4s\n  expect: {takes: 4s}\n"));
  EXPECT_TRUE(loaded.ok);
  EXPECT_EQ(
      loaded.messages,
      "5:3: warning: tasks[0].timeout: 4s cuts every probe short: this one takes 4s at least\n");
  EXPECT_EQ(Load(OneTask("  timeout: 4001ms\n  expect: {takes: 4s}\n")).messages, "");
  // The default is judged too, at the task's place.
  EXPECT_EQ(
      Load(OneTask("  expect: {takes: 9s}\n")).messages,
      "2:3: warning: tasks[0].timeout: 5s cuts every probe short: this one takes 9s at least\n");
}

TEST(TaskFile, Labels) {
  const Case cases[] = {
      {"  labels: {team: web, instance: x, job: y, Phase: z, empty: }\n", ""},
      {"  labels: {phase: x, le: y, __a: z, a-b: c, 1x: d}\n",
       "5:12: tasks[0].labels: label name 'phase' is reserved for series of sonde's own\n"
       "5:22: tasks[0].labels: label name 'le' is reserved for series of sonde's own\n"
       "5:29: tasks[0].labels: label name '__a' is reserved: names with __ are Prometheus'\n"
       "5:37: tasks[0].labels: label name 'a-b' must consist of letters, digits and _, and not "
       "begin with a digit\n"
       "5:45: tasks[0].labels: label name '1x' must consist of letters, digits and _, and not "
       "begin "
       "with a digit\n"},
      {"  labels: {team: [a]}\n", "5:18: tasks[0].labels.team: must be text, not a list\n"},
      {"  labels: [a]\n", "5:11: tasks[0].labels: must be a mapping, not a list\n"},
      {"  labels: {a: !!binary /w==}\n", "5:15: tasks[0].labels.a: is not UTF-8 text\n"},
  };
  for (const Case& c : cases) EXPECT_EQ(Load(OneTask(c.text)).messages, c.messages) << c.text;
  std::string many = "  labels: {";
  for (int i = 0; i < 33; ++i) many += "l" + std::to_string(i) + ": x, ";
  EXPECT_EQ(Load(OneTask(many + "}\n")).messages, "5:3: tasks[0].labels: more than 32 labels\n");
  EXPECT_EQ(Load(OneTask("  labels: {a: " + std::string(1025, 'x') + "}\n")).messages,
            "5:15: tasks[0].labels.a: is longer than 1024 bytes\n");
}

TEST(TaskFile, ABadTaskLeavesTheOthers) {
  const Loaded loaded = Load(
      "tasks:\n- {name: a, type: http, target: 'x:1'}\n- {name: b, type: http, target: bad}\n"
      "- {name: a, type: tcp, target: 'x:1'}\n- {name: c, type: tcp, target: 'x:1'}\n");
  EXPECT_EQ(loaded.messages,
            "3:33: tasks[1]: no port\n"
            "4:10: tasks[2].name: name 'a' is already used in line 2\n");
  ASSERT_EQ(loaded.file.tasks.size(), 2u);
  EXPECT_EQ(loaded.file.tasks[0]->prober, &kHttp);
  EXPECT_EQ(loaded.file.tasks[1]->name, "c");
}

TEST(TaskFile, EqualInlineBlocksShareAModule) {
  kTcp.modules_parsed = 0;
  const Loaded loaded = Load(
      "tasks:\n- {name: a, type: tcp, target: 'x:1', tcp: {text: t}}\n"
      "- {name: b, type: tcp, target: 'x:1', tcp: {text: t}}\n"
      "- {name: c, type: tcp, target: 'x:1', tcp: {text: u}}\n"
      "- {name: d, type: tcp, target: 'x:1'}\n- {name: e, type: tcp, target: 'x:1'}\n");
  EXPECT_EQ(loaded.messages, "");
  EXPECT_EQ(kTcp.modules_parsed, 3);
  const auto& tasks = loaded.file.tasks;
  EXPECT_EQ(tasks[0]->module, tasks[1]->module);
  EXPECT_NE(tasks[0]->module, tasks[2]->module);
  EXPECT_EQ(tasks[3]->module, tasks[4]->module);
  // A bad block is reported for each of its tasks.
  EXPECT_EQ(Load("tasks:\n- {name: a, type: tcp, target: 'x:1', tcp: {nope: t}}\n"
                 "- {name: b, type: tcp, target: 'x:1', tcp: {nope: t}}\n")
                .messages,
            "2:45: tasks[0].tcp: unknown key 'nope'\n3:45: tasks[1].tcp: unknown key 'nope'\n");
}

uint64_t Version(const std::string& lines, const std::string& modules = "") {
  const Loaded loaded = Load(modules + OneTask(lines));
  EXPECT_EQ(loaded.messages, "") << lines;
  return loaded.file.tasks.empty() ? 0 : loaded.file.tasks[0]->version;
}

TEST(TaskFile, TheVersionChangesWithWhatMatters) {
  const uint64_t base = Version("");
  // Said differently, the same task.
  EXPECT_EQ(Version("  interval: 60s\n"), base);
  EXPECT_EQ(Version("  interval: 1m\n  timeout: 5s\n  enabled: yes\n"), base);
  EXPECT_EQ(Version("  http:\n"), base);
  EXPECT_EQ(Version("", "# a comment\n"), base);
  EXPECT_EQ(Version("  labels: {a: x, b: y}\n"), Version("  labels: {b: y, a: x}\n"));
  // Other tasks.
  std::set<uint64_t> versions = {base};
  const char* const kChanges[] = {"  interval: 61s\n",
                                  "  timeout: 4s\n",
                                  "  enabled: false\n",
                                  "  application: shop\n",
                                  "  labels: {a: x}\n",
                                  "  labels: {a: y}\n",
                                  "  http: {text: x}\n",
                                  "  expect: {status: 200}\n",
                                  "  expect: {status: 201}\n",
                                  "  cron: '@hourly'\n",
                                  "  cron: '@daily'\n",
                                  "  cron: '@daily'\n  timezone: Europe/Berlin\n",
                                  "  cron: '@daily'\n  spread: 2s\n"};
  for (const char* change : kChanges) {
    EXPECT_TRUE(versions.insert(Version(change)).second) << change;
  }
  const std::string module = "modules: {m: {prober: http, http: {text: ";
  EXPECT_TRUE(versions.insert(Version("  module: m\n", module + "a}}}\n")).second);
  EXPECT_TRUE(versions.insert(Version("  module: m\n", module + "b}}}\n")).second);
  EXPECT_TRUE(
      versions.insert(Version("  module: m\n", module + "b}, metrics: {recent: no}}}\n")).second);
  EXPECT_TRUE(versions.insert(Version("", "metrics: {families: [core]}\n")).second);
  EXPECT_TRUE(versions.insert(Version("", "metrics: {recent: false}\n")).second);
  EXPECT_EQ(Version("", "metrics: {recent: true}\n"), base);
}

TEST(TaskFile, MergesServeAsTemplates) {
  const Loaded loaded = Load(
      "tasks:\n- &base {name: a, type: http, target: 'x:1', interval: 10s}\n"
      "- {<<: *base, name: b}\n- {<<: *base, name: c, interval: 20s}\n");
  EXPECT_EQ(loaded.messages, "");
  ASSERT_EQ(loaded.file.tasks.size(), 3u);
  EXPECT_EQ(loaded.file.tasks[1]->schedule, *Schedule::Every(Seconds(10)));
  EXPECT_EQ(loaded.file.tasks[2]->schedule, *Schedule::Every(Seconds(20)));
}

TEST(TaskFile, AHundredThousandErrorsAreBounded) {
  std::string text = "modules: {m: {prober: http}}\ntasks:\n";
  for (int i = 0; i < 20'000; ++i) {
    text += "- {name: n" + std::to_string(i) + ", module: mm, target: 'x:1', wrong: 1}\n";
  }
  Diagnostics diagnostics;
  const TaskFile file = ReadTaskFile(text, kProbers, diagnostics);
  EXPECT_TRUE(file.tasks.empty());
  EXPECT_EQ(diagnostics.errors(), 40'000u);
  EXPECT_EQ(diagnostics.all().size(), Diagnostics::kKept);
}

TEST(ReadFileBounded, Files) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("sonde_read_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string path = folder / "f.yml";
  std::ofstream(path, std::ios::binary) << std::string("0123456789", 10);
  EXPECT_EQ(*ReadFileBounded(path, 10), "0123456789");
  EXPECT_EQ(*ReadFileBounded(path, SIZE_MAX), "0123456789");
  const auto large = ReadFileBounded(path, 9);
  EXPECT_EQ(large.status().code(), absl::StatusCode::kResourceExhausted);
  const auto missing = ReadFileBounded(folder / "none", 9);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().ToString().find("none"), std::string::npos);
  EXPECT_FALSE(ReadFileBounded(folder, 9).ok());  // a folder
  std::ofstream(path, std::ios::trunc).close();
  EXPECT_EQ(*ReadFileBounded(path, 0), "");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sonde
