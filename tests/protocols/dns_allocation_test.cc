// Between due and result a dns probe takes nothing from the heap, once buffers and automata exist.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "tests/protocols/dns_probe.h"
#include "tests/support/allocation_counter.h"

namespace sonde {
namespace {

Instant At(int64_t ms) { return Instant{} + Milliseconds(ms); }

// The shard's side of one probe, without the shard.
class Slot {
 public:
  explicit Slot(std::string_view module) {
    const ModuleText read = ReadModule(DnsProber(), module);
    EXPECT_TRUE(read.module) << read.errors();
    task_.prober = &DnsProber();
    task_.module = read.module;
    task_.plan = ReadTarget(DnsProber(), "192.0.2.53", *read.module).plan;
    leg_.peer = *Address::ParseLiteral("192.0.2.53", 53);
    leg_.resolved = true;
    leg_.token = 0x1234;
    leg_.resolve_start = leg_.resolve_end = leg_.connect_start = leg_.connected = At(1);
  }

  // Plays a whole probe and returns its outcome; no answer: time is up.
  Outcome Probe(std::string_view answer) {
    Output out(buffers_);
    const ConversationContext context{buffers_};
    Conversation* conversation = DnsProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    step = conversation->OnOpen(leg_, At(2), out);
    out.Consume(out.pending().size());
    conversation->OnDatagramSent(0, At(2), StampClock::kUser);
    Outcome outcome = Outcome::kOk;
    if (answer.empty()) {
      outcome = conversation->OnDeadline(At(5));
    } else {
      step =
          conversation->OnDatagram({.bytes = AsBytes(answer), .peer = leg_.peer, .at = At(3)}, out);
      if (step.kind == Step::Kind::kFail) outcome = step.outcome;
    }
    ProbeResult result;
    result.outcome = outcome;
    Report report{result, &texts_, 0, &evidence_};
    conversation->Report(report, At(4));
    conversation->~Conversation();
    return outcome;
  }

  static std::string Query() {
    return "\x12\x34" + DnsQueryAfterId({.question = DnsQuestion(WireName("www.example"), 255, 1)});
  }

 private:
  BufferPool buffers_;
  Task task_;
  Leg leg_;
  Texts texts_;
  Evidence evidence_;
  alignas(std::max_align_t) std::byte place_[kConversationBytes];
};

void ExpectNothingTaken(std::string_view module, const std::string& answer, Outcome outcome) {
  Slot slot(module);
  // Until each of the few buffers has been everything once.
  for (int i = 0; i < 4; ++i) EXPECT_EQ(slot.Probe(answer), outcome);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(answer), outcome);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u) << module;
}

TEST(DnsAllocation, PlainQueriesTakeNothing) {
  const std::string module = "query_name: www.example";
  DnsAnswer answer(Slot::Query());
  ExpectNothingTaken(module, answer.A("192.0.2.7").Soa(7, 1).Text(), Outcome::kOk);
  ExpectNothingTaken(module, answer.Rcode(3).Text(), Outcome::kValidationRcode);
  ExpectNothingTaken(module, answer.Text().substr(0, 50), Outcome::kBodyMalformed);
  ExpectNothingTaken(module, "", Outcome::kFirstByteTimeout);
}

TEST(DnsAllocation, RulesTakeNothingOnceWarm) {
  const std::string answer = DnsAnswer(Slot::Query()).A("192.0.2.7").Add(0, 16, "\x05hello").Text();
  ExpectNothingTaken(
      "{query_name: www.example, validate_answer_rrs: {fail_if_not_matches_regexp: [IN]}}", answer,
      Outcome::kOk);
  ExpectNothingTaken(
      "{query_name: www.example, validate_answer_rrs: {fail_if_matches_regexp: [TXT]}}", answer,
      Outcome::kValidationAnswer);
}

}  // namespace
}  // namespace sonde
