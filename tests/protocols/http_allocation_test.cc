// Between due and result a plain http probe takes nothing from the heap, once its buffers exist.
#include <gtest/gtest.h>

#include <cstddef>
#include <string_view>

#include "protocols/http_prober.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/module_text.h"

namespace sonde {
namespace {

Instant At(int64_t ms) { return Instant{} + Milliseconds(ms); }

// The shard's side of one probe, without the shard.
class Slot {
 public:
  explicit Slot(std::string_view module, std::string_view expect = "") {
    const ModuleText read = ReadModule(HttpProber(), module);
    EXPECT_TRUE(read.module) << read.errors();
    task_.prober = &HttpProber();
    task_.module = read.module;
    task_.plan = ReadTarget(HttpProber(), "http://shop.example/", *read.module, expect).plan;
    leg_.peer = *Address::ParseLiteral("192.0.2.1", 80);
    leg_.resolved = true;
    leg_.resolve_start = leg_.resolve_end = leg_.connect_start = At(1);
    leg_.connected = At(2);
  }

  // Plays a whole probe; the answer comes in two reads.
  Outcome Probe(std::string_view answer) {
    Output out(buffers_);
    const ConversationContext context{buffers_};
    Conversation* conversation = HttpProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    step = conversation->OnOpen(leg_, At(2), out);
    out.Consume(out.pending().size());
    for (const std::string_view read : {answer.substr(0, 30), answer.substr(30)}) {
      if (step.kind != Step::Kind::kMore) break;
      step = conversation->OnBytes(AsBytes(read), At(3), out).step;
    }
    if (step.kind == Step::Kind::kMore) {
      step = conversation->OnPeerClosed(PeerClose::kEnd, {}, At(4), out);
    }
    return Finish(conversation, step);
  }

  Outcome Refused() {
    const ConversationContext context{buffers_};
    Conversation* conversation = HttpProber().Make(place_, task_, context);
    Step step = conversation->Start(At(1));
    Leg leg = leg_;
    leg.connected = Instant{};
    leg.detail = "Connection refused, as long a text as it may be";
    step = conversation->OnLegFailed(leg, Outcome::kConnectRefused, At(2));
    return Finish(conversation, step);
  }

 private:
  Outcome Finish(Conversation* conversation, const Step& step) {
    ProbeResult result;
    result.outcome = step.kind == Step::Kind::kPass ? Outcome::kOk : step.outcome;
    Report report{result, &texts_, 0, nullptr};
    conversation->Report(report, At(4));
    conversation->~Conversation();
    return result.outcome;
  }

  BufferPool buffers_;
  Task task_;
  Leg leg_;
  Texts texts_;
  alignas(std::max_align_t) std::byte place_[kConversationBytes];
};

// nginx's, more or less.
constexpr std::string_view kOk =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/html\r\nContent-Length: 5\r\n"
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nETag: \"x\"\r\n\r\nhello";
constexpr std::string_view kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
constexpr std::string_view kError =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nhello";

TEST(HttpAllocation, APlainGetTakesNothingOnceWarm) {
  Slot slot("");
  const auto probe = [&slot] {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(slot.Probe(kOk), Outcome::kOk);
      EXPECT_EQ(slot.Probe(kChunked), Outcome::kOk);
    }
  };
  probe();  // every buffer of the pool grows to what the largest use of it wants
  const AllocationCount before = ThreadAllocations();
  probe();
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(HttpAllocation, FailingTakesNoMore) {
  Slot slot("");
  const auto fail = [&slot] {
    EXPECT_EQ(slot.Probe(kError), Outcome::kValidationStatus);
    EXPECT_EQ(slot.Probe(std::string_view(kOk).substr(0, 60)), Outcome::kHeadersClosed);
    EXPECT_EQ(slot.Probe("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), Outcome::kHeadersMalformed);
    EXPECT_EQ(slot.Refused(), Outcome::kConnectRefused);
  };
  fail();
  const AllocationCount before = ThreadAllocations();
  fail();
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

TEST(HttpAllocation, RulesTakeNothingOnceWarm) {
  Slot slot("headers: {Host: vhost}\nfail_if_header_matches: [{header: Server, regexp: apache}]",
            "body_contains: hell");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(slot.Probe(kOk), Outcome::kOk);
  const AllocationCount before = ThreadAllocations();
  EXPECT_EQ(slot.Probe(kOk), Outcome::kOk);
  EXPECT_EQ((ThreadAllocations() - before).allocations, 0u);
}

}  // namespace
}  // namespace sonde
