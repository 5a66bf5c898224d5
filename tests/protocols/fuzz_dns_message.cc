// Input: a byte choosing the module, a byte saying how reads are split and how it ends, then an
// answer without its id and length. Whatever it is: over UDP and over TCP there is one verdict, the
// same one, and the same again when it arrives in pieces; what is printed is printable; and a name
// that was printed reads as what it was.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "protocols/dns_options.h"
#include "protocols/dns_record_text.h"
#include "protocols/dns_types.h"
#include "tests/protocols/dns_probe.h"

namespace {

using namespace sonde;

void Require(bool holds, int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

// Each over UDP and over TCP.
constexpr std::string_view kModules[] = {
    "query_name: www.example, query_type: A",
    "query_name: www.example, query_type: SOA, valid_rcodes: [NOERROR, NXDOMAIN]",
    "query_name: www.example, validate_answer_rrs: {fail_if_matches_regexp: ['\\tTXT\\t'],"
    " fail_if_none_matches_regexp: ['.'], fail_if_all_match_regexp: ['[a-z]']},"
    " validate_authority_rrs: {fail_if_not_matches_regexp: ['IN']},"
    " validate_additional_rrs: {fail_if_matches_regexp: ['EDNS', '(']}",
    "query_name: www.example, fail_if_truncated: true, valid_rcodes: [NOERROR, BADVERS]",
};

struct Probe {
  std::shared_ptr<const Module> module;
  std::shared_ptr<const TargetPlan> plan;
};

Probe Make(std::string_view module, std::string_view more) {
  const ModuleText read =
      ReadModule(DnsProber(), "{" + std::string(module) + std::string(more) + "}");
  Require(read.module != nullptr);
  return {read.module, ReadTarget(DnsProber(), "192.0.2.53", *read.module).plan};
}

struct Said {
  bool by_answer = false;  // the answer decided, not the end of time
  Outcome outcome = Outcome::kOk;
  double records = 0;
  std::string head, body;
};

Said Result(ConversationDriver& probe) {
  Require(probe.finished());
  Said said;
  said.outcome = probe.outcome();
  const FactSet& facts = probe.result().facts;
  for (const Fact fact : {Fact::kDnsAnswerRrs, Fact::kDnsAuthorityRrs, Fact::kDnsAdditionalRrs}) {
    said.records += facts.Get(fact).value_or(-1);
  }
  said.body = probe.evidence().body;
  Require(said.body.size() <= Evidence::kBodyLimit);
  Require(probe.evidence().head.size() <= Evidence::kHeadLimit);
  Require(probe.evidence().detail.size() <= 4096);
  return said;
}

Said OverUdp(const Probe& made, std::string_view rest) {
  ConversationDriver probe(DnsProber(), made.module, made.plan);
  probe.Start();
  probe.Open();
  const std::string answer = probe.SendDatagram().substr(0, 2) + std::string(rest);
  const Address elsewhere = *Address::ParseLiteral("192.0.2.99", 53);
  probe.ReceiveStray(answer, elsewhere);
  probe.ReceiveStray("zz" + std::string(rest), probe.peer());
  probe.ReceiveDatagram(answer);
  const bool by_answer = probe.finished();
  if (!by_answer) probe.Deadline();
  Said said = Result(probe);
  said.by_answer = by_answer;
  return said;
}

// `step` bytes a read; 0 for all at once.
Said OverTcp(const Probe& made, std::string_view rest, size_t step, unsigned ending) {
  ConversationDriver probe(DnsProber(), made.module, made.plan);
  probe.pause = Duration{};
  probe.Start();
  probe.Open();
  const std::string stream = Framed(probe.Sent().substr(2, 2) + std::string(rest));
  if (step == 0) step = stream.size();
  for (size_t at = 0; at < stream.size() && !probe.finished(); at += step) {
    probe.Receive(std::string_view(stream).substr(at, step));
  }
  Require(probe.finished());  // a whole message came
  Said said = Result(probe);
  said.by_answer = true;

  // And without its last byte: how it ends is the verdict.
  ConversationDriver cut(DnsProber(), made.module, made.plan);
  cut.Start();
  cut.Open();
  cut.Receive(std::string_view(stream).substr(0, stream.size() - 1));
  Require(!cut.finished());
  if (ending == 0) {
    cut.Deadline();
  } else {
    cut.Close(ending == 1 ? PeerClose::kEnd : PeerClose::kReset);
  }
  Require(Info(cut.outcome()).phase == Phase::kBody);
  Result(cut);
  return said;
}

void PrintAll(std::string_view answer) {
  static const std::string question = DnsQuestion(WireName("www.example"), 1, 1);
  DnsReply reply;
  ReadDnsReply(AsBytes(answer), AsBytes(question), &reply);
  BufferPool pool;
  Buffer line = pool.Take();
  for (DnsRecords records(reply); records.Next();) {
    const DnsRecord& record = records.record();
    Require(CheckDnsRecord(reply.message, record));
    line.Clear();
    AppendDnsRecord(reply.message, record, &line);
    const bool options = record.type == kDnsTypeOpt;
    for (const char c : line.text()) {
      Require((c >= ' ' && c <= '~') || c == '\t' || (options && c == '\n'));
    }
    line.Clear();
    AppendDnsName(reply.message, record.owner, &line);
    std::string wire, again, error;
    Require(ParseDnsName(line.text(), &wire, &error));
    size_t at = record.owner;
    WalkDnsName(reply.message, &at, [&](Bytes label) {
      again.push_back(static_cast<char>(label.size()));
      again.append(AsText(label));
    });
    Require(again + '\0' == wire);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 60'000) return 0;
  static const auto over_udp = [] {
    std::array<Probe, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) made[i] = Make(kModules[i], ", edns_size: 65535");
    return made;
  }();
  static const auto over_tcp = [] {
    std::array<Probe, std::size(kModules)> made;
    for (size_t i = 0; i < made.size(); ++i) {
      made[i] = Make(kModules[i], ", edns_size: 65535, transport_protocol: tcp");
    }
    return made;
  }();
  const size_t chosen = data[0] % std::size(kModules);
  const size_t step = 1 + (data[1] >> 2);
  const unsigned ending = data[1] & 3;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);

  const Said udp = OverUdp(over_udp[chosen], rest);
  const Said tcp = OverTcp(over_tcp[chosen], rest, 0, ending);
  const Said split = OverTcp(over_tcp[chosen], rest, step, ending);
  // Whatever the id is.
  Require(udp.outcome == tcp.outcome);
  Require(udp.body == tcp.body);
  Require(udp.records == tcp.records);
  Require(tcp.outcome == split.outcome);
  Require(tcp.body == split.body);
  PrintAll("zz" + std::string(rest));
  Require(!FirstNameServer(rest).empty());
  return 0;
}
