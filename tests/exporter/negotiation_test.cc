#include "exporter/negotiation.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde {
namespace {

constexpr std::string_view kText = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kOpen1 = "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr std::string_view kProtobuf =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
constexpr std::string_view kOpen0 = "application/openmetrics-text; version=0.0.1; charset=utf-8";

std::string TypeFor(std::string_view accept) { return NegotiateFormat(accept).content_type; }

TEST(Negotiation, NothingAskedOrNothingServedIsText) {
  for (const std::string_view accept :
       {"", "*/*", "text/*", "text/html", "application/json", "image/png;q=1, foo", ",,,", ";q=1",
        "application/openmetrics-text;version=2.0.0", "text/plain;version=9", "application/*"}) {
    EXPECT_EQ(TypeFor(accept), kText) << accept;
    EXPECT_EQ(NegotiateFormat(accept).format, Format::kText) << accept;
  }
}

TEST(Negotiation, WhatPrometheus2Sends) {
  const Negotiated answer = NegotiateFormat(
      "application/openmetrics-text;version=1.0.0,application/"
      "openmetrics-text;version=0.0.1;q=0.75,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
  EXPECT_EQ(answer.format, Format::kOpenMetrics);
  EXPECT_EQ(answer.content_type, kOpen1);
}

TEST(Negotiation, WhatPrometheus3Sends) {
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                    "application/openmetrics-text;version=0.0.1;q=0.5,"
                    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
                    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"),
            std::string(kOpen1) + "; escaping=allow-utf-8");
}

TEST(Negotiation, WhatPrometheusSendsForNativeHistograms) {
  const Negotiated answer = NegotiateFormat(
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
      "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;"
      "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
  EXPECT_EQ(answer.format, Format::kProtobuf);
  EXPECT_EQ(answer.content_type, kProtobuf);
  EXPECT_EQ(TypeFor("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                    "encoding=delimited;escaping=underscores;q=0.6,text/plain;q=0.4"),
            std::string(kProtobuf) + "; escaping=underscores");
}

TEST(Negotiation, ProtobufThatIsNotOursFallsThroughToTheNext) {
  for (const std::string_view first :
       {"application/vnd.google.protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
        "application/vnd.google.protobuf;proto=io.prometheus.write.v2.Request;encoding=delimited",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
        "encoding=delimited;q=0",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
        "encoding=delimited;q=0.7"}) {
    EXPECT_EQ(TypeFor(std::string(first) + ",application/openmetrics-text;version=0.0.1;q=0.75,"
                                           "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
              kOpen0)
        << first;
  }
  EXPECT_EQ(TypeFor("Application/Vnd.Google.Protobuf ; Encoding=\"delimited\" ; "
                    "Proto=io.prometheus.client.MetricFamily"),
            kProtobuf);
}

TEST(Negotiation, HigherQWinsWhateverTheOrder) {
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.5"), kText);
  EXPECT_EQ(TypeFor("text/plain;q=0.5,application/openmetrics-text;version=1.0.0;q=0.51"), kOpen1);
  EXPECT_EQ(TypeFor("text/plain,application/openmetrics-text;version=1.0.0"), kText);
}

TEST(Negotiation, WildcardsLoseTies) {
  EXPECT_EQ(TypeFor("*/*,application/openmetrics-text;version=1.0.0"), kOpen1);
  EXPECT_EQ(TypeFor("*/*;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8"), kText);
}

TEST(Negotiation, VersionsAndDefaults) {
  EXPECT_EQ(TypeFor("application/openmetrics-text"), kOpen0);
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=0.0.1"), kOpen0);
  EXPECT_EQ(TypeFor("text/plain;version=1.0.0;escaping=values"),
            std::string(kText) + "; escaping=values");
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=\"1.0.0\"; charset=utf-8"), kOpen1);
  EXPECT_EQ(TypeFor("Application/OpenMetrics-Text ; Version=1.0.0"), kOpen1);
}

TEST(Negotiation, QZeroRefuses) {
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=1.0.0;q=0,text/plain;q=0.1"), kText);
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=1.0.0;q=bad,*/*;q=0.1"), kText);
  EXPECT_EQ(TypeFor("application/openmetrics-text;version=1.0.0;q=2"), kText);
}

TEST(Negotiation, UnknownEscapingIsNotEchoed) {
  EXPECT_EQ(TypeFor("text/plain;version=0.0.4;escaping=x\"y"), kText);
}

TEST(Negotiation, EndlessClausesAreNotRead) {
  std::string accept;
  for (int i = 0; i < 100; ++i) accept += "text/x,";
  accept += "application/openmetrics-text;version=1.0.0";
  EXPECT_EQ(TypeFor(accept), kText);
}

}  // namespace
}  // namespace sonde
