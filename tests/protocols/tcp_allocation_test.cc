// Between due and result a tcp probe takes nothing from the heap, once buffers and automata exist.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string_view>

#include "protocols/tcp_prober.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

Instant At(int64_t ms) { return Instant{} + Milliseconds(ms); }

// The shard's side of one probe, without the shard.
class Slot {
 public:
  explicit Slot(std::string_view module) {
    const ModuleText read = ReadModule(TcpProber(), module);
    EXPECT_TRUE(read.module) << read.errors();
    task_.prober = &TcpProber();
    task_.module = read.module;
    task_.plan = ReadTarget(TcpProber(), "peer.example:6379", *read.module).plan;
    leg_.peer = *Address::ParseLiteral("192.0.2.1", 6379);
    leg_.resolved = true;
    leg_.resolve_start = leg_.resolve_end = leg_.connect_start = At(1);
    leg_.connected = At(2);
  }

  // Plays a whole probe and returns its outcome.
  Outcome Probe(std::string_view answer) {
    Output out(buffers_);
    const ConversationContext context{buffers_};
    Conversation* conversation = TcpProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    step = conversation->OnOpen(leg_, At(2), out);
    if (step.kind == Step::Kind::kMore) {
      out.Consume(out.pending().size());
      step = conversation->OnBytes(AsBytes(answer), At(3), out).step;
    }
    if (step.kind == Step::Kind::kMore) {
      step = conversation->OnPeerClosed(PeerClose::kEnd, {}, At(4), out);
    }
    ProbeResult result;
    result.outcome = step.kind == Step::Kind::kPass ? Outcome::kOk : step.outcome;
    Report report{result, &texts_, 0, nullptr};
    conversation->Report(report, At(4));
    conversation->~Conversation();
    return result.outcome;
  }

  // Refused: the failing path must cost no more.
  Outcome Refused() {
    const ConversationContext context{buffers_};
    Conversation* conversation = TcpProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    Leg leg = leg_;
    leg.connected = Instant{};
    leg.detail = "Connection refused";
    step = conversation->OnLegFailed(leg, Outcome::kConnectRefused, At(2));
    ProbeResult result;
    result.outcome = step.outcome;
    Report report{result, &texts_, 0, nullptr};
    conversation->Report(report, At(2));
    conversation->~Conversation();
    return result.outcome;
  }

 private:
  BufferPool buffers_;
  Task task_;
  Leg leg_;
  Texts texts_;
  alignas(std::max_align_t) std::byte place_[kConversationBytes];
};

TEST(TcpAllocation, PlainConnectTakesNothing) {
  Slot slot("");
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(""), Outcome::kOk);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(TcpAllocation, RefusedConnectTakesNothing) {
  Slot slot("");
  EXPECT_EQ(slot.Refused(), Outcome::kConnectRefused);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Refused(), Outcome::kConnectRefused);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(TcpAllocation, ADialogueTakesNothingOnceWarm) {
  Slot slot("query_response: [{send: \"PING\\r\"}, {expect: '^[+]PONG'}]");
  EXPECT_EQ(slot.Probe("+PONG\r\n"), Outcome::kOk);
  EXPECT_EQ(slot.Probe("-ERR\r\n"), Outcome::kDialogueMismatch);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe("+PONG\r\n"), Outcome::kOk);
  EXPECT_EQ(slot.Probe("-ERR\r\n"), Outcome::kDialogueMismatch);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

// The counter counts: a test that cannot fail would be worth nothing.
TEST(TcpAllocation, TheCounterIsAwake) {
  if (!kCountsAllocations) GTEST_SKIP();
  const AllocationCount before = ThreadAllocations();
  const auto taken = std::make_unique<int>(1);
  EXPECT_EQ(*taken, 1);
  EXPECT_GE((ThreadAllocations() - before).allocations, 1u);
}

}  // namespace
}  // namespace sonde
