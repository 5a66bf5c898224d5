#include "exporter/process_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

namespace sonde {
namespace {

constexpr std::string_view kStat =
    "4242 (so) nd e) S 1 4242 4242 0 -1 4194560 1000 0 3 0 250 50 0 0 20 0 7 0 123456 "
    "104857600 2560 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n";

TEST(ProcessMetrics, ReadsTheKernelsLine) {
  uint64_t start = 0;
  const auto process = ParseProcStat(kStat, 100, 4096, &start);
  ASSERT_TRUE(process);
  EXPECT_DOUBLE_EQ(process->cpu_seconds, 3.0);
  EXPECT_EQ(process->threads, 7u);
  EXPECT_EQ(process->virtual_bytes, 104857600u);
  EXPECT_EQ(process->resident_bytes, 2560u * 4096u);
  EXPECT_EQ(start, 123456u);
}

TEST(ProcessMetrics, LinesCutShortAreRefused) {
  uint64_t start = 0;
  const size_t last_field = kStat.find(" 2560");
  for (size_t length = 0; length <= last_field; ++length) {
    EXPECT_FALSE(ParseProcStat(kStat.substr(0, length), 100, 4096, &start)) << length;
  }
  EXPECT_FALSE(
      ParseProcStat("1 (x) S a b c d e f g h i j k l m n o p q r s t u v", 100, 4096, &start));
}

TEST(ProcessMetrics, ThisProcessIsPlausible) {
  const ProcessNumbers process = ReadProcess();
  EXPECT_GT(process.resident_bytes, 1u << 20);
  EXPECT_GE(process.virtual_bytes, process.resident_bytes);
  EXPECT_GE(process.threads, 1u);
  EXPECT_GE(process.open_fds, 3u);
  EXPECT_LE(process.start_time_seconds, static_cast<double>(std::time(nullptr)) + 1);
  EXPECT_GT(process.start_time_seconds, 1.6e9);
}

TEST(ProcessMetrics, NamesAreTheUsualOnes) {
  std::string out;
  Exposition writer(Format::kText, &out);
  ProcessNumbers process;
  process.cpu_seconds = 1.25;
  process.open_fds = 9;
  WriteProcessFamilies(writer, process);
  EXPECT_THAT(out, ::testing::HasSubstr("\nprocess_cpu_seconds_total 1.25\n"));
  EXPECT_THAT(out, ::testing::HasSubstr("\nprocess_open_fds 9\n"));
}

}  // namespace
}  // namespace sonde
