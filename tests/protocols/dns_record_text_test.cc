#include "protocols/dns_record_text.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "protocols/dns_types.h"
#include "tests/protocols/dns_probe.h"

namespace sonde {
namespace {

// A record alone in its message.
struct Alone {
  Alone(std::string_view owner, unsigned type, unsigned klass, uint32_t ttl, std::string_view data)
      : bytes(std::string(owner) + std::string(data)) {
    record.type = static_cast<uint16_t>(type);
    record.klass = static_cast<uint16_t>(klass);
    record.ttl = ttl;
    record.data = owner.size();
    record.data_size = data.size();
  }

  bool good() const { return CheckDnsRecord(AsBytes(bytes), record); }
  std::string text() const {
    BufferPool pool;
    Buffer out = pool.Take();
    AppendDnsRecord(AsBytes(bytes), record, &out);
    return std::string(out.text());
  }

  std::string bytes;
  DnsRecord record;
};

struct DataRow {
  unsigned type;
  const char* data;  // hexadecimal
  const char* text;  // what stands behind the type
};

// As blackbox_exporter prints them. Two of its rows follow HEAD where 0.23 differs: an address
// mapped from IPv4, and the flags of EDNS.
// clang-format off
constexpr DataRow kData[] = {
    {1, "c0000207", "192.0.2.7"},
    {28, "20010db8000000000000000000000001", "2001:db8::1"},
    {28, "00000000000000000000ffffc0000207", "::ffff:192.0.2.7"},
    {28, "00000000000000000000000000000001", "::1"},
    {28, "20010db8000000010000000000000000", "2001:db8:0:1::"},
    {28, "000000000000000000000000c0000207", "::c000:207"},
    {28, "00010002000300040005000600070008", "1:2:3:4:5:6:7:8"},
    {28, "20010db8000100000001000000010001", "2001:db8:1:0:1:0:1:1"},
    {28, "00000000000000000000000000000000", "::"},
    {2, "036e7331074578616d706c6503636f6d00", "ns1.Example.com."},
    {5, "00", "."},
    {6, "026e73076578616d706c65000b686f73745f6d6173746572076578616d706c650078a3f17500001c2000000e1000127500ffffffff", "ns.example. host_master.example. 2024010101 7200 3600 1209600 4294967295"},
    {12, "0161016200", "a.b."},
    {13, "07494e54454c227804554e5c58", "\"INTEL\\\"x\" \"UN\\\\X\""},
    {14, "016100016200", "a. b."},
    {15, "000a026d78074578616d706c6503636f6d00", "10 mx.Example.com."},
    {16, "0b68656c6c6f20776f726c64000c7122756f5c74653b007fff2e", "\"hello world\" \"\" \"q\\\"uo\\\\te;\\000\\127\\255.\""},
    {16, "00", "\"\""},
    {17, "016d016200017400", "m.b. t."},
    {18, "00010361667300", "1 afs."},
    {19, "0c333131303631373030393536", "311061700956"},
    {21, "000202727400", "2 rt."},
    {26, "000a016100016200", "10 a. b."},
    {27, "082d33322e36383832083131362e383635320431302e30", "-32.6882 116.8652 10.0"},
    {29, "0012161388f8d4487044d27d0098c6b9", "41 48 45.000 N 73 18 45.123 W 123.45m 1m 10000m 10m"},
    {29, "0011009580000000800000010098964e", "00 00 0.000 S 00 00 0.001 E -0.50m 0.10m 0.00m 9000m"},
    {29, "003314157fffffffa69fb20000989680", "00 00 0.001 S 180 00 0.000 E 0m 30m 100m 1000m"},
    {33, "0000000513c403736970076578616d706c6500", "0 5 5060 sip.example."},
    {35, "0064003201730a7a333935302b2249324c0f215e2e2a24217369703a5c3140652100", "100 50 \"s\" \"z3950+\\\"I2L\" \"!^.*$!sip:\\\\1@e!\" ."},
    {36, "0001026b7800", "1 kx."},
    {39, "0164076578616d706c6500", "d.example."},
    {43, "ec4505012bb183af5f22588179a53b0a98631fad1a292118", "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"},
    {44, "0402abcdef0123", "4 2 ABCDEF0123"},
    {46, "000105030001518040467180ffffffff0a52076578616d706c6503636f6d00a0a1a2a3a4", "A 5 3 86400 20040304000000 21060207062815 2642 example.com. oKGio6Q="},
    {46, "ff000800000000000000000038bb0c00000100ff", "TYPE65280 8 0 0 19700101000000 20000229000000 1 . /w=="},
    {47, "04686f7374076578616d706c65000006400000000003041b000000000000000000000000000000000000000000000000000020", "host.example. A RRSIG NSEC TYPE1234"},
    {47, "017800000122ff0101", "x. NS SOA TYPE65287"},
    {48, "010103080301000112", "257 3 8 AwEAARI="},
    {49, "000201636fc0b8271c82825bb1ac5c41cf5351aa69b4febd94e8f17cdb95000da48c40", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="},
    {50, "0101000c04aabbccdd140102030405060708090a0b0c0d0e0f1011121314000722010000000002", "1 1 12 AABBCCDD 041061050O3GG28A1C60Q3GF208H44OK NS SOA MX TYPE54"},
    {50, "010000000002ffee0001ff", "1 0 0 - VVN0 None A NS MD MF CNAME SOA MB"},
    {51, "0100000a01ab", "1 0 10 AB"},
    {51, "0100000a00", "1 0 10 -"},
    {52, "030101aabbcc00", "3 1 1 aabbcc00"},
    {53, "030101aabb", "3 1 1 aabb"},
    {56, "0178", "\"x\""},
    {57, "00000101616263", "0 1 1 YWJj"},
    {58, "016100016200", "a. b."},
    {59, "00010203ab", "1 2 3 AB"},
    {60, "0100030861626364", "256 3 8 YWJjZA=="},
    {61, "6b65792064617461", "a2V5IGRhdGE="},
    {62, "000000420003000460000000", "66 3 A NS"},
    {63, "7848b78c0101febeba", "2018031500 1 1 febeba"},
    {64, "000003666f6f076578616d706c6500", "0 foo.example."},
    {65, "000100000100060268320268330003000220fb00040008c0000201c0000202000500036162630006001020010db8000000000000000000000001", "1 . alpn=\"h2,h3\" port=\"8443\" ipv4hint=\"192.0.2.1,192.0.2.2\" ech=\"YWJj\" ipv6hint=\"2001:db8::1\""},
    {64, "000101700000000004000100040001000c09612c625c63223b2001017800020000029b000968656c6c6f225c3b20", "1 p. mandatory=\"alpn,ipv4hint\" alpn=\"a\\\\\\044b\\\\\\092c\\\"\\;\\ \\001,x\" no-default-alpn=\"\" key667=\"hello\\\"\\\\\\;\\ \""},
    {99, "0b763d73706631202d616c6c", "\"v=spf1 -all\""},
    {100, "0175", "\"u\""},
    {101, "000003e8", "1000"},
    {102, "ffffffff", "4294967295"},
    {104, "000a00144fffff20ee64", "10 0014:4fff:ff20:ee64"},
    {105, "000a0a010200", "10 10.1.2.0"},
    {106, "000a20010db81140abcd", "10 2001:0DB8:1140:ABCD"},
    {107, "000a036c3634076578616d706c6500", "10 l64.example."},
    {108, "00005e0053ab", "00-00-5e-00-53-ab"},
    {109, "00005eef10000abc", "00-00-5e-ef-10-00-0a-bc"},
    {256, "000a00016674703a2f2f667470312e6578616d706c652f227022", "10 1 \"ftp://ftp1.example/\\\"p\\\"\""},
    {257, "0005697373756563612e6578616d706c653b20613d62", "0 issue \"ca.example; a=b\""},
    {257, "8005696f646566", "128 iodef \"\""},
    {258, "03617070", "\"app\""},
    {32768, "00010203ab", "1 2 3 AB"},
    {32769, "00010203ab", "1 2 3 AB"},
    {1, "", ""},
    {16, "", ""},
    {24, "000005030001518000000001000000020a52016500a0", "None 5 3 86400 19700101000001 19700101000002 2642 e. oA=="},
    {25, "010103080301", "257 3 8 AwE="},
    {3, "016d00", "m."},
    {4, "016d00", "m."},
    {7, "016d00", "m."},
    {8, "016d00", "m."},
    {9, "016d00", "m."},
    {23, "016d00", "m."},
    {31, "abcd", "ABCD"},
    {32, "abcd", "ABCD"},
    {37, "0001000203616263", "1 2 3 YWJj"},
    {261, "0161", "\"a\""},
};

struct RecordRow {
  const char* owner;
  unsigned type, klass;
  uint32_t ttl;
  const char* data;
  const char* text;
};

constexpr RecordRow kRecords[] = {
    {"0c612e62206327403b2829225c04007fc3bc00", 1, 1, 60u, "01020304", "a\\.b\\ c\\'\\@\\;\\(\\)\\\"\\\\.\\000\\127\\195\\188.\t60\tIN\tA\t1.2.3.4"},
    {"00", 1, 3, 0u, "01020304", ".\t0\tCH\tA\t1.2.3.4"},
    {"00", 1, 4, 4294967295u, "01020304", ".\t4294967295\tHS\tA\t1.2.3.4"},
    {"00", 1, 255, 1u, "01020304", ".\t1\tCLASS255\tA\t1.2.3.4"},
    {"00", 1, 254, 1u, "01020304", ".\t1\tNONE\tA\t1.2.3.4"},
    {"00", 1, 2, 1u, "01020304", ".\t1\tCS\tA\t1.2.3.4"},
    {"00", 1, 77, 1u, "01020304", ".\t1\tCLASS77\tA\t1.2.3.4"},
    {"00", 65281, 255, 1u, "01", ".\t1\tCLASS255\tTYPE65281\t\\# 1 01"},
    {"00", 41, 4096, 32768u, "", "\n;; OPT PSEUDOSECTION:\n; EDNS: version 0; flags: do; udp: 4096"},
    {"00", 41, 1232, 81921u, "000300036e7331000a00080102030405060708fde90002abcd", "\n;; OPT PSEUDOSECTION:\n; EDNS: version 1; flags:; MBZ: 0x4001, udp: 1232\n; NSID: 6e7331  (n)(s)(1)\n; COOKIE: 0102030405060708\n; LOCAL OPT: 65001:0xabcd"},
    {"03777777074578616d706c6503636f6d00", 65280, 1, 3600u, "0a000001", "www.Example.com.\t3600\tCLASS1\tTYPE65280\t\\# 4 0a000001"},
    {"03777777074578616d706c6503636f6d00", 731, 1, 3600u, "", "www.Example.com.\t3600\tCLASS1\tTYPE731\t\\# 0 "},
    {"03777777074578616d706c6503636f6d00", 34, 1, 3600u, "0102", "www.Example.com.\t3600\tCLASS1\tTYPE34\t\\# 2 0102"},
};
// clang-format on

TEST(DnsRecordText, DataOfEveryType) {
  for (const DataRow& row : kData) {
    const Alone alone(WireName("www.Example.com"), row.type, 1, 3600, FromHex(row.data));
    ASSERT_TRUE(alone.good()) << row.type << " " << row.data;
    const std::string type(FindDnsType(static_cast<uint16_t>(row.type))->name);
    EXPECT_EQ(alone.text(), "www.Example.com.\t3600\tIN\t" + type + "\t" + row.text);
  }
}

TEST(DnsRecordText, OwnersClassesAndUnknownTypes) {
  for (const RecordRow& row : kRecords) {
    const Alone alone(FromHex(row.owner), row.type, row.klass, row.ttl, FromHex(row.data));
    ASSERT_TRUE(alone.good()) << row.type << " " << row.data;
    EXPECT_EQ(alone.text(), row.text);
  }
}

// Every type with fields has a row above, so that none is left untried.
TEST(DnsRecordText, EveryTypeIsTried) {
  for (unsigned number = 0; number <= 65535; ++number) {
    const DnsType* type = FindDnsType(static_cast<uint16_t>(number));
    if (!type || type->fields.empty() || number == kDnsTypeOpt) continue;
    bool tried = false;
    for (const DataRow& row : kData) tried = tried || row.type == number;
    EXPECT_TRUE(tried) << type->name;
  }
}

// Data cut anywhere is malformed, but for types that end in what may be shorter.
TEST(DnsRecordText, CutData) {
  for (const DataRow& row : kData) {
    const std::string data = FromHex(row.data);
    const char last = FindDnsType(static_cast<uint16_t>(row.type))->fields.back();
    const bool elastic = std::string_view("hHbomtp").find(last) != std::string_view::npos;
    for (size_t size = 1; size < data.size(); ++size) {
      const Alone cut(WireName("a"), row.type, 1, 1, data.substr(0, size));
      if (!elastic) { EXPECT_FALSE(cut.good()) << row.type << " at " << size; }
      if (cut.good()) { EXPECT_FALSE(cut.text().empty()); }
    }
    if (!elastic && !data.empty()) {
      EXPECT_FALSE(Alone(WireName("a"), row.type, 1, 1, data + "x").good()) << row.type;
    }
  }
}

TEST(DnsRecordText, WhatMustNotPass) {
  constexpr DataRow kBad[] = {
      {1, "c00002", "an address too short"},
      {1, "c000020700", "one too long"},
      {16, "0568656c6c", "a text that runs off the end"},
      {47, "000000", "a bitmap of no byte"},
      {47,
       "000021"
       "000000000000000000000000000000000000000000000000000000000000000000",
       "33 bytes"},
      {47, "000101400001ff", "windows out of order"},
      {47, "0000", "half a window"},
      {64, "0001000003000220fb0003000220fb", "a parameter twice"},
      {64, "00010000030001ff", "a port of one byte"},
      {64, "00010000010002ff68", "a protocol that runs off the end"},
      {64, "0001000004000300c000", "half an address"},
      {64, "00010000020001ff", "a value where none may be"},
      {64, "000100000100", "half a parameter"},
      {41, "0003000a61", "an option that runs off the end"},
      {15, "000ac0ff", "a pointer forward"},
      {15, "000a0161", "a name without end"},
  };
  for (const DataRow& row : kBad) {
    EXPECT_FALSE(Alone(WireName("a"), row.type, 1, 1, FromHex(row.data)).good()) << row.text;
  }
}

TEST(DnsRecordText, NamesAreWrittenOut) {
  const std::string query =
      "\x12\x34" + DnsQueryAfterId({.question = DnsQuestion(WireName("www.example"), 15, 1)});
  const std::string bytes = DnsAnswer(query).Add(0, 15, Number16(5) + "\x02mx\xc0\x10").Text();
  DnsReply reply;
  ASSERT_EQ(ReadDnsReply(AsBytes(bytes), AsBytes(query).subspan(12), &reply), DnsRead::kReply);
  DnsRecords records(reply);
  ASSERT_TRUE(records.Next());
  BufferPool pool;
  Buffer out = pool.Take();
  AppendDnsRecord(reply.message, records.record(), &out);
  EXPECT_EQ(out.text(), "www.example.\t60\tIN\tMX\t5 mx.example.");
}

}  // namespace
}  // namespace sonde
