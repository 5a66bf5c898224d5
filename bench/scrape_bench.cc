// What one scrape of a fleet costs: /metrics of 50,000 tasks rendered, and rendered and packed,
// each against memcpy of the finished page. The three take turns, and the ratios are medians over
// the rounds: on a shared machine only what stood side by side can be compared.
//   scrape_bench [TASKS] [ROUNDS]        (default 50000 9)
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "exporter/gzip.h"
#include "exporter/metrics_page.h"
#include "tests/exporter/sample_fleet.h"

namespace sonde {
namespace {

// Tasks that ran: two of three http, one of three tcp, one of fifty failing.
void Fill(size_t tasks, Catalog* catalog) {
  TaskDelta delta;
  for (size_t i = 0; i < tasks; ++i) {
    const std::string n = std::to_string(i);
    TaskSpec spec;
    spec.name = "shop-health-" + n;
    const bool http = i % 3 != 0;
    spec.type = http ? "http" : "tcp";
    spec.target = http ? "https://shop-" + n + ".example/health" : "shop-" + n + ".example:6379";
    delta.upserts.push_back(MakeUpsert(spec));
    const auto duration = Microseconds(static_cast<int64_t>(700 + i * 7919 % 90'000));
    for (int run = 0; run < 3; ++run) {
      const bool failed = i % 50 == 0 && run == 2;
      ProbeResult result = MakeResult(failed ? Outcome::kConnectTimeout : Outcome::kOk, duration);
      const double seconds = duration.seconds() / 3;
      result.facts.Set(Fact::kIpProtocol, 4);
      result.facts.Set(Fact::kIpAddrHash, static_cast<double>(i * 2654435761u % 4294967296u));
      result.facts.Set(Fact::kDnsLookupTime, seconds);
      if (http) {
        for (const Fact fact : {Fact::kHttpResolve, Fact::kHttpConnect, Fact::kHttpTls,
                                Fact::kHttpProcessing, Fact::kHttpTransfer}) {
          result.facts.Set(fact, seconds);
        }
        result.facts.Set(Fact::kHttpStatusCode, 200);
        result.facts.Set(Fact::kHttpVersion, 1.1);
        result.facts.Set(Fact::kHttpContentLength, 612);
        result.facts.Set(Fact::kHttpBodyLength, 612);
        result.facts.Set(Fact::kHttpRedirects, 0);
        result.facts.Set(Fact::kHttpSsl, 1);
        result.facts.Set(Fact::kFailedRegex, 0);
        result.facts.Set(Fact::kCertExpiry, 1'800'000'000);
      } else {
        result.facts.Set(Fact::kTcpResolve, seconds);
        result.facts.Set(Fact::kTcpConnect, seconds);
      }
      Record(*delta.upserts.back().record, result);
    }
  }
  catalog->Apply(delta);
}

// Renders as a streamed answer does: chunk by chunk, the chunk reused.
template <typename Take>
void Render(const SampleSnapshot& tasks, Format format, Take&& take) {
  MetricsPage page(tasks, FamilySet::All(), format, kSampleNow, nullptr);
  std::string chunk;
  for (BodyStep step = BodyStep::kMore; step == BodyStep::kMore;) {
    chunk.clear();
    step = page.Next(chunk);
    take(chunk);
  }
}

// Of this thread's processor: others on the machine do not count.
double TimeOf(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
  };
  const double began = now();
  work();
  return now() - began;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Contender {
  const char* name;
  std::function<void()> work;
  std::vector<double> ms = {}, ratio = {};
};

void Compare(size_t tasks, int rounds, Format format, const char* format_name) {
  Catalog catalog;
  Fill(tasks, &catalog);
  const SampleSnapshot snapshot = catalog.Snapshot();
  std::string text;
  Render(snapshot, format, [&text](const std::string& chunk) { text += chunk; });
  std::string copy(text.size(), '\0');
  size_t rendered = 0, packed = 0;

  std::vector<Contender> all;
  all.push_back({"memcpy", [&] {
                   std::memcpy(copy.data(), text.data(), text.size());
                   asm volatile("" : : "r"(copy.data()) : "memory");
                 }});
  all.push_back({"rendered", [&] {
                   rendered = 0;
                   Render(snapshot, format,
                          [&](const std::string& chunk) { rendered += chunk.size(); });
                 }});
  all.push_back({"rendered, gzip", [&] {
                   GzipEncoder gzip;
                   std::string out;
                   packed = 0;
                   Render(snapshot, format, [&](const std::string& chunk) {
                     out.clear();
                     if (!gzip.Append(chunk, out)) std::abort();
                     packed += out.size();
                   });
                   out.clear();
                   if (!gzip.Finish(out)) std::abort();
                   packed += out.size();
                 }});
  for (int round = 0; round < rounds; ++round) {
    for (Contender& one : all) {
      one.ms.push_back(TimeOf(one.work));
      one.ratio.push_back(one.ms.back() / all[0].ms.back());
    }
  }
  const auto lines = static_cast<double>(std::count(text.begin(), text.end(), '\n'));
  std::printf("%s: %zu tasks, %.0f lines, %.1f MB, %.1f MB packed\n", format_name, tasks, lines,
              static_cast<double>(rendered) / 1e6, static_cast<double>(packed) / 1e6);
  for (const Contender& one : all) {
    const double ms = Median(one.ms);
    std::printf("  %-16s %8.1f ms %7.1f ns/line %6.2f x memcpy\n", one.name, ms, ms * 1e6 / lines,
                Median(one.ratio));
  }
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) {
  const auto number = [&](int i, int otherwise) {
    return argc > i ? std::max(1, std::atoi(argv[i])) : otherwise;
  };
  const auto tasks = static_cast<size_t>(number(1, 50'000));
  sonde::Compare(tasks, number(2, 9), sonde::Format::kText, "text");
  sonde::Compare(tasks, number(2, 9), sonde::Format::kOpenMetrics, "openmetrics");
  return 0;
}
