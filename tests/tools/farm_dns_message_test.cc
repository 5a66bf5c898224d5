#include <gtest/gtest.h>

#include <string>

#include "tests/tools/dns_client.h"
#include "tools/farm/dns_message.h"

namespace sonde {
namespace {

FarmDnsParse Read(const std::string& bytes, FarmDnsQuery* query) {
  return ReadFarmDnsQuery({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, query);
}

FarmDnsParse Read(const std::string& bytes) {
  FarmDnsQuery query;
  return Read(bytes, &query);
}

std::string With(std::string bytes, size_t at, char byte) {
  bytes[at] = byte;
  return bytes;
}

TEST(DnsMessage, ReadsAQuery) {
  DnsAsk ask;
  ask.name = "Www.Farm.test";
  ask.type = 28;
  FarmDnsQuery query;
  ASSERT_EQ(Read(ask.Bytes(), &query), FarmDnsParse::kGood);
  EXPECT_EQ(query.id, 0x1234);
  EXPECT_TRUE(query.recursion_desired);
  EXPECT_EQ(query.type, 28);
  EXPECT_EQ(query.klass, 1);
  EXPECT_EQ(query.name_text(), std::string("\3Www\4Farm\4test\0", 15));
  EXPECT_FALSE(query.edns);
  EXPECT_EQ(query.udp_limit(), 512u);
}

TEST(DnsMessage, TheClientsLimitIsKeptWithinOurs) {
  for (const auto& [offered, limit] :
       {std::pair(0, 512u), {511, 512u}, {1232, 1232u}, {4096, 4096u}, {65535, 4096u}}) {
    DnsAsk ask;
    ask.edns_size = offered;
    FarmDnsQuery query;
    ASSERT_EQ(Read(ask.Bytes(), &query), FarmDnsParse::kGood);
    EXPECT_TRUE(query.edns);
    EXPECT_EQ(query.udp_limit(), limit);
  }
}

TEST(DnsMessage, EveryPartAndEveryByteTooManyIsMalformed) {
  DnsAsk ask;
  ask.edns_size = 1232;
  const std::string whole = ask.Bytes();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(Read(whole.substr(0, size)),
              size < kDnsHeaderSize ? FarmDnsParse::kIgnore : FarmDnsParse::kMalformed)
        << size;
  }
  EXPECT_EQ(Read(whole + '\0'), FarmDnsParse::kMalformed);
}

TEST(DnsMessage, AnswersAndOtherOperationsAreNoQueries) {
  const std::string whole = DnsAsk().Bytes();
  EXPECT_EQ(Read(With(whole, 2, '\x81')), FarmDnsParse::kIgnore);
  EXPECT_EQ(Read(With(whole, 2, '\x29')), FarmDnsParse::kNotImplemented);  // UPDATE
  for (const size_t count : {5, 7, 9}) {  // two questions, an answer, an authority
    EXPECT_EQ(Read(With(whole, count, static_cast<char>(whole[count] + 1))),
              FarmDnsParse::kMalformed)
        << count;
  }
  EXPECT_EQ(Read(With(whole, 5, 0)), FarmDnsParse::kMalformed);
}

TEST(DnsMessage, NamesHaveTheirBounds) {
  const auto read = [](const std::string& name) {
    const std::string plain = DnsAsk().Bytes();
    return Read(plain.substr(0, kDnsHeaderSize) + name + std::string("\0\1\0\1", 4));
  };
  const std::string root(1, '\0');
  const auto label = [](size_t size) {
    return std::string(1, static_cast<char>(size)) + std::string(size, 'x');
  };
  EXPECT_EQ(read(root), FarmDnsParse::kGood);
  EXPECT_EQ(read(label(63) + root), FarmDnsParse::kGood);
  EXPECT_EQ(read(label(64) + root), FarmDnsParse::kMalformed);
  const std::string three = label(63) + label(63) + label(63);  // 192 bytes
  EXPECT_EQ(read(three + label(61) + root), FarmDnsParse::kGood) << "255 bytes";
  EXPECT_EQ(read(three + label(62) + root), FarmDnsParse::kMalformed) << "256 bytes";
  EXPECT_EQ(read("\xC0\x0C"), FarmDnsParse::kMalformed) << "a pointer at itself";
}

TEST(DnsMessage, AdditionalRecordsAreCountedAndMeasured) {
  const std::string plain = DnsAsk().Bytes();
  const auto with = [&](int count, const std::string& records) {
    return Read(With(plain, 11, static_cast<char>(count)) + records);
  };
  const std::string opt("\0\0\x29\4\xD0\0\0\0\0\0\0", 11);
  const std::string other("\0\0\1\0\1\0\0\0\0\0\1x", 12);
  EXPECT_EQ(with(1, opt), FarmDnsParse::kGood);
  EXPECT_EQ(with(2, opt + opt), FarmDnsParse::kMalformed) << "OPT twice";
  EXPECT_EQ(with(1, "\1x" + opt), FarmDnsParse::kMalformed) << "OPT of a name";
  EXPECT_EQ(with(2, opt + other), FarmDnsParse::kGood);
  std::string many;
  for (size_t i = 0; i < kDnsMostAdditional; ++i) many += other;
  EXPECT_EQ(with(kDnsMostAdditional, many), FarmDnsParse::kGood);
  EXPECT_EQ(with(kDnsMostAdditional + 1, many + other), FarmDnsParse::kMalformed);
  // A cookie (RFC 7873), and one whose length lies.
  const std::string cookie(
      "\0\0\x29\4\xD0\0\0\0\0\0\x0C\0\x0A\0\x08"
      "12345678",
      23);
  EXPECT_EQ(with(1, cookie), FarmDnsParse::kGood);
  EXPECT_EQ(with(1, With(cookie, 14, 9)), FarmDnsParse::kMalformed);
  EXPECT_EQ(with(1, With(cookie, 14, 7)), FarmDnsParse::kMalformed);
}

TEST(DnsMessage, AWriterStopsAtItsEnd) {
  std::array<uint8_t, 5> bytes{};
  FarmDnsWriter out(bytes);
  out.U32(0x01020304);
  EXPECT_FALSE(out.overflow());
  out.U16(0x0506);
  EXPECT_TRUE(out.overflow());
  out.U8(7);
  EXPECT_EQ(out.size(), 4u) << "nothing after what did not fit";
  out.PatchU16(3, 0xFFFF);
  EXPECT_EQ(bytes, (std::array<uint8_t, 5>{1, 2, 3, 4, 0}));
  out.CutTo(2);
  out.U16(0x0809);
  EXPECT_EQ(bytes, (std::array<uint8_t, 5>{1, 2, 8, 9, 0}));
}

}  // namespace
}  // namespace sonde
