#include "engine/shard/echo_message.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/shard/echo_table.h"
#include "tests/support/sim_network.h"

namespace sonde {
namespace {

constexpr uint64_t kCookie = 0x0123456789abcdef;

Address V4() { return *Address::ParseLiteral("192.0.2.7"); }
Address V6() { return *Address::ParseLiteral("2001:db8::7"); }

std::vector<uint8_t> Request(IpFamily family, std::string_view payload) {
  std::vector<uint8_t> out;
  AppendEchoRequest(family, 0x1234, 0x5678, kCookie, AsBytes(payload), &out);
  return out;
}

TEST(EchoMessage, IsAsRfc792WritesIt) {
  const std::vector<uint8_t> request = Request(IpFamily::kV4, "abcd");
  ASSERT_EQ(request.size(), 12u);
  EXPECT_EQ(request[0], 8);
  EXPECT_EQ(request[1], 0);
  // ~(0x0800 + 0x1234 + 0x5678 + 0x6162 + 0x6364), carries added.
  EXPECT_EQ(request[2] << 8 | request[3], 0xca8c);
  EXPECT_EQ(request[4] << 8 | request[5], 0x1234);
  EXPECT_EQ(request[6] << 8 | request[7], 0x5678);
  EXPECT_EQ(AsText(Bytes(request).subspan(8)), "abcd");
}

// Whatever is summed with its checksum comes to all ones (RFC 1071), also of odd length.
TEST(EchoMessage, ChecksumsAddUp) {
  for (const std::string_view payload : {"", "a", "abcdefgh", "abcdefghi", "0123456789abcdef"}) {
    const std::vector<uint8_t> request = Request(IpFamily::kV4, payload);
    uint32_t sum = 0;
    for (size_t i = 0; i < request.size(); ++i) {
      sum += static_cast<uint32_t>(request[i]) << (i % 2 == 0 ? 8 : 0);
    }
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    EXPECT_EQ(sum, 0xffffu) << payload;
  }
}

TEST(EchoMessage, TheCookieNeedsEightBytes) {
  EXPECT_EQ(AsText(Bytes(Request(IpFamily::kV6, "abcdefg")).subspan(8)), "abcdefg");
  const std::vector<uint8_t> request = Request(IpFamily::kV6, "abcdefgh!");
  EXPECT_EQ(CookieOf(Bytes(request).subspan(8)), kCookie);
  EXPECT_EQ(request.back(), '!');
  EXPECT_EQ(request[0], 128);
  EXPECT_EQ(CookieOf(AsBytes("abcdefg")), std::nullopt);
}

TEST(EchoMessage, ReadsReplies) {
  for (const Address& address : {V4(), V6()}) {
    std::vector<uint8_t> request = Request(address.family, "abcdefghij");
    const SimDatagram sent{.to = address, .bytes = std::string(AsText(request))};
    const std::string reply = EchoReplyTo(sent);
    const auto answer = ParseEchoAnswer(address.family, AsBytes(reply));
    ASSERT_TRUE(answer);
    EXPECT_FALSE(answer->error);
    EXPECT_EQ(answer->id, 0x1234);
    EXPECT_EQ(answer->sequence, 0x5678);
    EXPECT_EQ(answer->payload.size(), 10u);
    EXPECT_FALSE(ParseEchoAnswer(address.family, request)) << "a request is no answer";
  }
}

struct ErrorCase {
  const char* to;
  int type, code;
  Outcome outcome;
};

TEST(EchoMessage, ReadsWhatErrorsQuote) {
  const ErrorCase kCases[] = {
      {"192.0.2.7", 3, 0, Outcome::kConnectNetworkUnreachable},
      {"192.0.2.7", 3, 1, Outcome::kConnectHostUnreachable},
      {"192.0.2.7", 3, 3, Outcome::kConnectRefused},
      {"192.0.2.7", 3, 4, Outcome::kConnectTooBig},
      {"192.0.2.7", 3, 13, Outcome::kConnectDenied},
      {"192.0.2.7", 3, 99, Outcome::kConnectHostUnreachable},
      {"192.0.2.7", 11, 0, Outcome::kConnectTtlExceeded},
      {"2001:db8::7", 1, 0, Outcome::kConnectNetworkUnreachable},
      {"2001:db8::7", 1, 1, Outcome::kConnectDenied},
      {"2001:db8::7", 1, 3, Outcome::kConnectHostUnreachable},
      {"2001:db8::7", 2, 0, Outcome::kConnectTooBig},
      {"2001:db8::7", 3, 0, Outcome::kConnectTtlExceeded},
  };
  for (const ErrorCase& c : kCases) {
    const Address to = *Address::ParseLiteral(c.to);
    const std::vector<uint8_t> request = Request(to.family, "abcdefghij");
    const SimDatagram sent{.to = to, .bytes = std::string(AsText(request))};
    const std::string error = IcmpErrorAbout(sent, c.type, c.code);
    const auto answer = ParseEchoAnswer(to.family, AsBytes(error));
    ASSERT_TRUE(answer) << c.type << " " << c.code;
    EXPECT_TRUE(answer->error);
    EXPECT_EQ(answer->outcome, c.outcome) << c.type << " " << c.code;
    EXPECT_EQ(answer->to, to);
    EXPECT_EQ(answer->id, 0x1234);
    EXPECT_EQ(answer->sequence, 0x5678);
    EXPECT_EQ(CookieOf(answer->payload), kCookie);
    // The 8 bytes RFC 792 asks for, no more.
    const std::string cut = IcmpErrorAbout(sent, c.type, c.code, 8);
    const auto brief = ParseEchoAnswer(to.family, AsBytes(cut));
    ASSERT_TRUE(brief);
    EXPECT_EQ(brief->sequence, 0x5678);
    EXPECT_TRUE(brief->payload.empty());
  }
}

TEST(EchoMessage, QuotedHeadersMayHaveOptions) {
  const SimDatagram sent{.to = V4(),
                         .bytes = std::string(AsText(Request(IpFamily::kV4, "abcdefgh")))};
  std::string error = IcmpErrorAbout(sent, 3, 1);
  error[8] = 0x46;  // one option word
  error.insert(28, 4, '\1');
  const auto answer = ParseEchoAnswer(IpFamily::kV4, AsBytes(error));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->sequence, 0x5678);
}

// Every prefix of every message, and every message with a byte changed: answered or not, never read
// beyond its end.
TEST(EchoMessage, SurvivesBrokenMessages) {
  for (const Address& to : {V4(), V6()}) {
    const SimDatagram sent{.to = to, .bytes = std::string(AsText(Request(to.family, "abcdefgh")))};
    for (const std::string& whole :
         {EchoReplyTo(sent), IcmpErrorAbout(sent, to.family == IpFamily::kV4 ? 3 : 1, 1)}) {
      for (size_t length = 0; length < whole.size(); ++length) {
        const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(length));
        const auto answer = ParseEchoAnswer(to.family, cut);
        EXPECT_FALSE(length < kEchoHeaderBytes && answer);
      }
      for (size_t at = 0; at < whole.size(); ++at) {
        for (const char byte : {'\x00', '\x01', '\x0f', '\x7f', '\xff'}) {
          std::vector<uint8_t> bent(whole.begin(), whole.end());
          bent[at] = static_cast<uint8_t>(byte);
          (void)ParseEchoAnswer(to.family, bent);
        }
      }
    }
  }
}

// ---- EchoTable ----

TEST(EchoTable, KnowsItsCookies) {
  EchoTable table(42);
  const SlotRef slot{70'000, 0x7fffff};
  for (uint16_t number = 0; number < 300; ++number) {
    const EchoTable::Mark mark = table.Next(slot, number, V4());
    std::vector<uint8_t> payload(8);
    for (size_t i = 0; i < 8; ++i) {
      payload[i] = static_cast<uint8_t>(mark.cookie >> (56 - 8 * i));
    }
    const auto claim = table.Find(V4(), 0, payload);  // the sequence number does not matter
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->index, 70'000u);
    EXPECT_EQ(claim->generation, 0x7fffffu & EchoTable::kGenerationMask);
    EXPECT_EQ(claim->number, number);
    // From anybody else it means nothing.
    const auto other = table.Find(V6(), 0, payload);
    ASSERT_TRUE(other);
    EXPECT_NE(other->index, 70'000u);
  }
}

TEST(EchoTable, RecallsWhatWentOutLastUnderANumber) {
  EchoTable table(42);
  const auto payload_of = [](uint64_t cookie) {
    std::vector<uint8_t> payload(12, 'x');
    for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<uint8_t>(cookie >> (56 - 8 * i));
    return payload;
  };
  EXPECT_FALSE(table.Recall(0, payload_of(0)));
  const EchoTable::Mark first = table.Next({70'000, 0x7fffff}, 9, V4());
  const auto claim = table.Recall(first.sequence, payload_of(first.cookie));
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->index, 70'000u);
  EXPECT_EQ(claim->generation, 0x7fffffu & EchoTable::kGenerationMask);
  EXPECT_EQ(claim->number, 9);
  EXPECT_FALSE(table.Recall(first.sequence, payload_of(first.cookie ^ 1)));
  EXPECT_FALSE(table.Recall(static_cast<uint16_t>(first.sequence + 1), payload_of(first.cookie)));
  EXPECT_FALSE(table.Recall(static_cast<uint16_t>(first.sequence + 1), payload_of(0)));
  EXPECT_FALSE(table.Recall(first.sequence, AsBytes("short")));
  for (int i = 0; i < 65'536; ++i) static_cast<void>(table.Next({3, 1}, 0, V4()));
  EXPECT_FALSE(table.Recall(first.sequence, payload_of(first.cookie)));
  EXPECT_EQ(table.Find(V4(), first.sequence, payload_of(first.cookie))->index, 70'000u);
}

TEST(EchoTable, GoesBySequenceWithoutCookie) {
  EchoTable table(42);
  EXPECT_FALSE(table.Find(V4(), 0, {}));
  const EchoTable::Mark first = table.Next({3, 9}, 0, V4());
  const EchoTable::Mark second = table.Next({4, 2}, 7, V4());
  EXPECT_NE(first.sequence, second.sequence);
  EXPECT_EQ(table.Find(V4(), first.sequence, {})->index, 3u);
  const auto claim = table.Find(V4(), second.sequence, AsBytes("short"));
  EXPECT_EQ(claim->index, 4u);
  EXPECT_EQ(claim->generation, 2u);
  EXPECT_EQ(claim->number, 7u);
  EXPECT_FALSE(table.Find(V4(), static_cast<uint16_t>(second.sequence + 1), {}));
}

}  // namespace
}  // namespace sonde
