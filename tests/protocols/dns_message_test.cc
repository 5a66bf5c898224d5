#include "protocols/dns_message.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/protocols/dns_probe.h"

namespace sonde {
namespace {

const std::string& Question() {
  static const std::string question = DnsQuestion(WireName("www.example"), 1, 1);
  return question;
}

std::string Query() { return "\x12\x34" + DnsQueryAfterId({.question = Question()}); }

struct Got {
  DnsRead read;
  DnsReply reply;
};

// From a copy of exactly the size, so that a sanitizer sees reads beyond the end.
Got Read(std::string_view bytes) {
  const std::vector<uint8_t> given(bytes.begin(), bytes.end());
  Got got{};
  got.read = ReadDnsReply(given, AsBytes(Question()), &got.reply);
  got.reply.message = {};
  return got;
}

std::string Sample() {
  return DnsAnswer(Query())
      .A("192.0.2.1")
      .A("192.0.2.2")
      .Add(1, 2, "\x02ns\xc0\x10")
      .Add(2, 41, Number16(10) + Number16(2) + "ab", 0x01008000, std::string_view("\0", 1), 4096)
      .Text();
}

TEST(DnsMessage, Whole) {
  const Got got = Read(Sample());
  EXPECT_EQ(got.read, DnsRead::kReply);
  EXPECT_EQ(got.reply.id, 0x1234);
  EXPECT_EQ(got.reply.counts[0], 2);
  EXPECT_EQ(got.reply.counts[1], 1);
  EXPECT_EQ(got.reply.counts[2], 1);
  EXPECT_EQ(got.reply.rcode, 16);  // the upper bits are EDNS's
  EXPECT_FALSE(got.reply.truncated());
  EXPECT_EQ(Read(Sample() + "and more").read, DnsRead::kReply);
}

TEST(DnsMessage, EveryTruncationIsMalformed) {
  const std::string whole = Sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    const Got got = Read(std::string_view(whole).substr(0, size));
    if (size == kDnsHeaderBytes) {  // servers refuse with a header alone
      EXPECT_EQ(got.read, DnsRead::kReply);
    } else {
      EXPECT_EQ(got.read, DnsRead::kMalformed) << size;
      EXPECT_FALSE(got.reply.fault.empty()) << size;
    }
    EXPECT_EQ(got.reply.counts[0] + got.reply.counts[1] + got.reply.counts[2], 0) << size;
  }
}

TEST(DnsMessage, SaysWhichRecordIsWrong) {
  std::string bytes = DnsAnswer(Query()).A("192.0.2.1").Add(1, 1, "abc").Text();
  const Got got = Read(bytes);
  EXPECT_EQ(got.read, DnsRead::kMalformed);
  EXPECT_EQ(DnsSectionName(got.reply.fault_section), "authority");
  EXPECT_EQ(got.reply.fault_record, 1);
}

TEST(DnsMessage, CountsThatLie) {
  for (const size_t at : {6u, 8u, 10u}) {
    std::string bytes = Sample();
    bytes[at] = '\xff';
    EXPECT_EQ(Read(bytes).read, DnsRead::kMalformed) << at;
  }
  std::string fewer = Sample();
  fewer[7] = 1;  // the second answer is taken for authority, and so on
  EXPECT_EQ(Read(fewer).read, DnsRead::kReply);
}

TEST(DnsMessage, Questions) {
  DnsAnswer answer(Query());
  EXPECT_EQ(Read(answer.Text()).read, DnsRead::kReply);
  EXPECT_EQ(Read(answer.Question(DnsQuestion(WireName("WWW.eXample"), 1, 1)).Text()).read,
            DnsRead::kReply);
  for (const std::string& other :
       {DnsQuestion(WireName("www.exampl"), 1, 1), DnsQuestion(WireName("www.examples"), 1, 1),
        DnsQuestion(WireName("www"), 1, 1), DnsQuestion(WireName("a.www.example"), 1, 1),
        DnsQuestion(WireName("www.example.a"), 1, 1), DnsQuestion(WireName("."), 1, 1),
        DnsQuestion(WireName("www.example"), 28, 1), DnsQuestion(WireName("www.example"), 1, 3)}) {
    EXPECT_EQ(Read(answer.Question(other).Text()).read, DnsRead::kOtherQuestion);
  }
  answer.Question("");
  answer.questions = 0;
  EXPECT_EQ(Read(answer.Text()).read, DnsRead::kReply);
  answer.Question(Question() + Question());
  answer.questions = 2;
  EXPECT_EQ(Read(answer.Text()).read, DnsRead::kMalformed);
}

TEST(DnsMessage, AQueryIsNoAnswer) {
  EXPECT_EQ(Read(Query()).read, DnsRead::kMalformed);
  EXPECT_EQ(Read(Query()).reply.fault, "a query, not an answer");
}

// A record whose owner is `owner`, bytes as they are, behind a question of 17 bytes from byte 12.
DnsRead ReadOwner(std::string_view owner) {
  return Read(DnsAnswer(Query()).Add(0, 1, "abcd", 1, owner).Text()).read;
}

TEST(DnsMessage, PointersLeadBackwardsOnly) {
  EXPECT_EQ(ReadOwner("\xc0\x0c"), DnsRead::kReply);
  EXPECT_EQ(ReadOwner("\xc0\x10"), DnsRead::kReply);
  EXPECT_EQ(ReadOwner("\x01z\xc0\x0c"), DnsRead::kReply);
  EXPECT_EQ(ReadOwner("\xc0\x1d"), DnsRead::kMalformed);       // to itself
  EXPECT_EQ(ReadOwner("\x01z\xc0\x1d"), DnsRead::kMalformed);  // to the label before: a loop
  EXPECT_EQ(ReadOwner("\xc0\x1f"), DnsRead::kMalformed);       // forward
  EXPECT_EQ(ReadOwner("\xff\xff"), DnsRead::kMalformed);
  EXPECT_EQ(ReadOwner(Number16(0xc004)), DnsRead::kMalformed);  // into the header
  EXPECT_EQ(ReadOwner("\xc0\x0b"), DnsRead::kMalformed);
  for (const char* odd : {"\x40", "\x80", "\xbf"}) {
    EXPECT_EQ(ReadOwner(odd), DnsRead::kMalformed);  // no such kind of label
  }
}

TEST(DnsMessage, NamesHave255Bytes) {
  // From byte 12, where names may begin.
  const auto walks = [](std::string_view bytes, size_t at) {
    const std::string message = std::string(kDnsHeaderBytes, '\0') + std::string(bytes);
    at += kDnsHeaderBytes;
    return WalkDnsName(AsBytes(message), &at, [](Bytes) {});
  };
  std::string name;
  for (int i = 0; i < 3; ++i) name += '\x3f' + std::string(63, 'a');
  EXPECT_TRUE(walks(name + '\x3d' + std::string(61, 'a') + '\0', 0));
  EXPECT_FALSE(walks(name + '\x3e' + std::string(62, 'a') + '\0', 0));
  // The same in pieces.
  const std::string tail = name + '\x3d' + std::string(61, 'a') + '\0';
  EXPECT_TRUE(walks(tail + Number16(0xc00c), 255));
  EXPECT_FALSE(walks(tail + "\x01z" + Number16(0xc00c), 255));
}

TEST(DnsMessage, PointersToPointers) {
  // The root, then pointers each to the one before.
  constexpr size_t kRoot = kDnsHeaderBytes;
  std::string bytes(kRoot + 2, '\0');
  for (unsigned i = 0; i < 200; ++i) bytes += Number16(0xc000 | (kRoot + i * 2));
  for (const size_t hops : {1u, 126u, 127u, 128u, 199u}) {
    size_t at = kRoot + hops * 2;
    EXPECT_EQ(WalkDnsName(AsBytes(bytes), &at, [](Bytes) {}), hops <= 127) << hops;
    if (hops <= 127) { EXPECT_EQ(at, kRoot + hops * 2 + 2); }
  }
}

TEST(DnsMessage, TheLastSerialCounts) {
  EXPECT_EQ(Read(DnsAnswer(Query()).Soa(7).Soa(4294967295).Soa(9, 1).Text()).reply.serial,
            4294967295);
  EXPECT_EQ(Read(DnsAnswer(Query()).Soa(9, 1).Text()).reply.serial, 0u);
  EXPECT_EQ(Read(DnsAnswer(Query()).Add(0, 6, "").Text()).reply.serial, 0u);  // without data
}

TEST(DnsMessage, RecordsInOrder) {
  const std::string bytes = Sample();
  DnsReply reply;
  ASSERT_EQ(ReadDnsReply(AsBytes(bytes), AsBytes(Question()), &reply), DnsRead::kReply);
  std::string seen;
  for (DnsRecords records(reply); records.Next();) {
    seen += std::string(DnsSectionName(records.section())) + std::to_string(records.number()) +
            ":" + std::to_string(records.record().type) + " ";
  }
  EXPECT_EQ(seen, "answer1:1 answer2:1 authority1:2 additional1:41 ");
}

TEST(DnsMessage, TheFirstLookAtStrays) {
  const auto answers = [](std::string_view bytes) {
    return AnswersDnsQuestion(AsBytes(bytes), AsBytes(Question()));
  };
  EXPECT_TRUE(answers(Sample()));
  EXPECT_FALSE(answers(Query()));
  EXPECT_FALSE(answers(Sample().substr(0, 12)));
  EXPECT_FALSE(answers(Sample().substr(0, 20)));
  EXPECT_FALSE(answers(""));
  EXPECT_FALSE(answers(DnsAnswer(Query()).Question(DnsQuestion(WireName("x"), 1, 1)).Text()));
}

}  // namespace
}  // namespace sonde
