// Between due and result an icmp probe takes nothing from the heap, once buffers exist.
#include <gtest/gtest.h>

#include <cstddef>
#include <string_view>

#include "protocols/icmp_prober.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

Instant At(int64_t ms) { return Instant{} + Milliseconds(ms); }

// The shard's side of one probe, without the shard.
class Slot {
 public:
  explicit Slot(std::string_view module) {
    const ModuleText read = ReadModule(IcmpProber(), module);
    EXPECT_TRUE(read.module) << read.errors();
    task_.prober = &IcmpProber();
    task_.module = read.module;
    task_.plan = ReadTarget(IcmpProber(), "192.0.2.1", *read.module).plan;
    leg_.peer = *Address::ParseLiteral("192.0.2.1");
    leg_.resolved = true;
    leg_.resolve_start = leg_.resolve_end = leg_.connect_start = leg_.connected = At(1);
  }

  // Each of `count` packets is answered, or told to be lost.
  Outcome Probe(unsigned count, bool answered) {
    Output out(buffers_);
    const ConversationContext context{buffers_};
    Conversation* conversation = IcmpProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    step = conversation->OnOpen(leg_, At(1), out);
    for (uint16_t i = 0; i < count; ++i) {
      if (i > 0) step = conversation->OnWake(step.wake_at, out);
      out.Consume(out.pending().size());
      conversation->OnDatagramSent(i, At(2 + 20 * i), StampClock::kUser);
      step =
          answered
              ? conversation->OnDatagram({.at = At(3 + 20 * i), .number = i}, out)
              : conversation->OnNetworkError(
                    {.at = At(3 + 20 * i), .number = i, .detail = "Destination Host Unreachable"},
                    out);
    }
    ProbeResult result;
    result.outcome = step.kind == Step::Kind::kPass ? Outcome::kOk : step.outcome;
    Report report{result, nullptr, 0, &evidence_};
    conversation->Report(report, At(5000));
    conversation->~Conversation();
    return result.outcome;
  }

 private:
  BufferPool buffers_;
  Task task_;
  Leg leg_;
  Evidence evidence_;
  alignas(std::max_align_t) std::byte place_[kConversationBytes];
};

TEST(IcmpAllocation, OnePacketTakesNothing) {
  Slot slot("");
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(1, true), Outcome::kOk);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(IcmpAllocation, FailingTakesNothingOnceWarm) {
  Slot slot("");
  EXPECT_EQ(slot.Probe(1, false), Outcome::kConnectError);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(1, false), Outcome::kConnectError);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(IcmpAllocation, ManyPacketsTakeNothingOnceWarm) {
  Slot slot("{count: 255, interval: 20ms}");
  EXPECT_EQ(slot.Probe(255, true), Outcome::kOk);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(255, true), Outcome::kOk);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

}  // namespace
}  // namespace sonde
