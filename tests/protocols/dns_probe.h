// DNS probes out of YAML text, and messages as name servers write them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/dns_message.h"
#include "protocols/dns_prober.h"
#include "protocols/dns_query.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/fake_files.h"
#include "tests/support/module_text.h"

namespace sonde {

inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

inline std::string Number16(unsigned number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number)};
}
inline std::string Number32(uint32_t number) {
  return Number16(number >> 16) + Number16(number & 0xffff);
}

inline std::string WireName(std::string_view text) {
  std::string wire, error;
  if (!ParseDnsName(text, &wire, &error)) std::abort();
  return wire;
}

// An answer to `query`, a message as it went over UDP: its id and question, then what is added.
class DnsAnswer {
 public:
  explicit DnsAnswer(std::string_view query)
      : id_(query.substr(0, 2)), question_(query.substr(12)) {
    // Without the query's EDNS.
    size_t end = 0;
    while (question_[end] != 0) end += static_cast<unsigned char>(question_[end]) + 1u;
    question_.resize(end + 5);
  }

  unsigned flags = 0x8180;  // qr rd ra
  int questions = 1;        // as the header says

  DnsAnswer& Rcode(unsigned rcode) {
    flags = (flags & ~0xfu) | rcode;
    return *this;
  }
  DnsAnswer& Truncated() {
    flags |= 0x200;
    return *this;
  }
  DnsAnswer& Id(std::string_view id) {
    id_ = id;
    return *this;
  }
  DnsAnswer& Question(std::string_view question) {
    question_ = question;
    return *this;
  }
  // `section`: 0 answer, 1 authority, 2 additional; in this order. The owner is the question's
  // name.
  DnsAnswer& Add(int section, unsigned type, std::string_view data, uint32_t ttl = 60,
                 std::string_view owner = std::string_view("\xc0\x0c", 2), unsigned klass = 1) {
    ++counts_[section];
    records_.append(owner);
    records_ += Number16(type) + Number16(klass) + Number32(ttl) +
                Number16(static_cast<unsigned>(data.size()));
    records_.append(data);
    return *this;
  }
  DnsAnswer& A(std::string_view address, int section = 0) {
    const auto parsed = *Address::ParseLiteral(address);
    return Add(section, 1, {reinterpret_cast<const char*>(parsed.bytes.data()), 4});
  }
  DnsAnswer& Soa(uint32_t serial, int section = 0) {
    return Add(section, 6,
               WireName("ns.example") + WireName("host.example") + Number32(serial) + Number32(2) +
                   Number32(3) + Number32(4) + Number32(5));
  }

  std::string Text() const {
    return id_ + Number16(flags) + Number16(static_cast<unsigned>(questions)) +
           Number16(counts_[0]) + Number16(counts_[1]) + Number16(counts_[2]) + question_ +
           records_;
  }

 private:
  std::string id_, question_, records_;
  unsigned counts_[3] = {};
};

// As a message goes over TCP.
inline std::string Framed(std::string_view message) {
  return Number16(static_cast<unsigned>(message.size())) + std::string(message);
}

struct DnsProbeText {
  std::string module = "query_name: www.example";  // YAML of the dns block; "" for none
  std::string target = "192.0.2.53";
  std::string expect = "";
  std::string module_name = "";  // "": the task's own block
};

// Aborts when the texts do not parse: tests of that use ReadModule.
inline std::unique_ptr<ConversationDriver> MakeDnsProbe(const DnsProbeText& text,
                                                        Files* files = nullptr) {
  const ModuleText module = ReadModule(DnsProber(), text.module);
  if (!module.module) {
    std::fprintf(stderr, "%s", module.errors().c_str());
    std::abort();
  }
  std::const_pointer_cast<Module>(module.module)->name = text.module_name;
  const TargetText target = ReadTarget(DnsProber(), text.target, *module.module, text.expect);
  if (!target.plan) {
    std::fprintf(stderr, "%s", target.errors().c_str());
    std::abort();
  }
  return std::make_unique<ConversationDriver>(DnsProber(), module.module, target.plan, text.target,
                                              files);
}

// Started, open, and for UDP sent: `*query` is the message behind the framing.
inline std::unique_ptr<ConversationDriver> AskDnsProbe(const DnsProbeText& text,
                                                       std::string* query) {
  auto probe = MakeDnsProbe(text);
  probe->Start();
  probe->Open();
  *query =
      probe->leg().transport == Transport::kUdp ? probe->SendDatagram() : probe->Sent().substr(2);
  return probe;
}

}  // namespace sonde
