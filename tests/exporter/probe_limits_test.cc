#include "exporter/probe_limits.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

constexpr Instant kStart{1'000'000'000};

ProbeLimits::Client ClientAt(const char* address) {
  return ProbeLimits::ClientOf(*Address::ParseLiteral(address));
}

std::optional<ProbeLimit> Begin(ProbeLimits* limits, const char* address, Instant now = kStart) {
  ProbeLimits::Client client = ClientAt(address);
  return limits->Begin(&client, now);
}

TEST(ProbeLimits, InFlight) {
  ProbeLimits limits({.in_flight = 2});
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  EXPECT_FALSE(Begin(&limits, "10.0.0.2"));
  EXPECT_EQ(Begin(&limits, "10.0.0.3"), ProbeLimit::kInFlight);
  limits.End(ClientAt("10.0.0.1"));
  EXPECT_FALSE(Begin(&limits, "10.0.0.3"));
  EXPECT_EQ(limits.in_flight(), 2u);
}

TEST(ProbeLimits, InFlightOfOneClient) {
  ProbeLimits limits({.in_flight = 0, .in_flight_per_client = 1});
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  EXPECT_EQ(Begin(&limits, "10.0.0.1"), ProbeLimit::kClientInFlight);
  EXPECT_FALSE(Begin(&limits, "10.0.0.2"));
  limits.End(ClientAt("10.0.0.1"));
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  // Of IPv6 a client is a network.
  EXPECT_FALSE(Begin(&limits, "2001:db8::1"));
  EXPECT_EQ(Begin(&limits, "2001:db8::2"), ProbeLimit::kClientInFlight);
  EXPECT_FALSE(Begin(&limits, "2001:db8:0:1::1"));
}

TEST(ProbeLimits, Rates) {
  ProbeLimits limits({.in_flight = 0, .rate = 4, .rate_per_client = 2});
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  EXPECT_EQ(Begin(&limits, "10.0.0.1"), ProbeLimit::kClientRate);
  EXPECT_FALSE(Begin(&limits, "10.0.0.2"));
  EXPECT_FALSE(Begin(&limits, "10.0.0.2"));
  EXPECT_EQ(Begin(&limits, "10.0.0.3"), ProbeLimit::kRate);
  EXPECT_FALSE(Begin(&limits, "10.0.0.1", kStart + Milliseconds(500)));
  EXPECT_EQ(Begin(&limits, "10.0.0.1", kStart + Milliseconds(500)), ProbeLimit::kClientRate);
}

TEST(ProbeLimits, SlowRatesStillLetOneThrough) {
  ProbeLimits limits({.in_flight = 0, .rate = 0.1});
  EXPECT_FALSE(Begin(&limits, "10.0.0.1"));
  EXPECT_EQ(Begin(&limits, "10.0.0.1", kStart + Milliseconds(9'900)), ProbeLimit::kRate);
  EXPECT_FALSE(Begin(&limits, "10.0.0.1", kStart + Milliseconds(10'100)));
}

TEST(ProbeLimits, ClientsRememberedAreBounded) {
  ProbeLimits limits({.in_flight = 0, .in_flight_per_client = 1});
  for (uint32_t i = 0; i < ProbeLimits::kClients; ++i) {
    Address address = *Address::ParseLiteral("10.0.0.0");
    address.bytes[1] = static_cast<uint8_t>(i >> 16);
    address.bytes[2] = static_cast<uint8_t>(i >> 8);
    address.bytes[3] = static_cast<uint8_t>(i);
    ProbeLimits::Client client = ProbeLimits::ClientOf(address);
    ASSERT_FALSE(limits.Begin(&client, kStart));
  }
  // Everybody else is one client now.
  ProbeLimits::Client one = ClientAt("192.0.2.1");
  EXPECT_FALSE(limits.Begin(&one, kStart));
  EXPECT_EQ(Begin(&limits, "192.0.2.2"), ProbeLimit::kClientInFlight);
  limits.End(one);
  EXPECT_FALSE(Begin(&limits, "192.0.2.2"));
  limits.End(ClientAt("10.0.0.7"));  // who is idle is forgotten
  EXPECT_FALSE(Begin(&limits, "192.0.2.3"));
}

TEST(ProbeLimits, EveryLimitNamesItsFlag) {
  EXPECT_EQ(ProbeLimitName(ProbeLimit::kInFlight), "--probe.max-in-flight");
  EXPECT_EQ(ProbeLimitName(ProbeLimit::kClientRate), "--probe.rate-per-client");
}

}  // namespace
}  // namespace sonde
