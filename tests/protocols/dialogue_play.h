// Dialogues as plays, for tests: what the prober says, what the peer says to it, fed whole, one
// byte at a time and at every split, and broken off at every byte.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/tcp_prober.h"
#include "tests/support/conversation_driver.h"
#include "tests/support/module_text.h"

namespace sonde {

// What the prober must have sent before the peer says its piece.
struct DialogueTurn {
  std::string_view sent;
  std::string_view says;
};

struct DialoguePlay {
  std::string_view name;
  std::string_view module;
  std::vector<DialogueTurn> turns;
  std::string_view farewell;  // sent with the verdict
};

using SharedModule = std::shared_ptr<const Module>;

inline SharedModule GoodModule(std::string_view yaml) {
  const ModuleText module = ReadModule(TcpProber(), yaml);
  EXPECT_TRUE(module.module) << module.errors();
  return module.module;
}

// A probe that has started; null when module or target are no good.
inline std::unique_ptr<ConversationDriver> Drive(const SharedModule& module,
                                                 std::string_view target = "peer.example:25",
                                                 std::string_view expect = "") {
  if (!module) return nullptr;
  const TargetText plan = ReadTarget(TcpProber(), target, *module, expect);
  EXPECT_TRUE(plan.plan) << plan.errors();
  if (!plan.plan) return nullptr;
  auto probe = std::make_unique<ConversationDriver>(TcpProber(), module, plan.plan);
  probe->Start();
  return probe;
}
inline std::unique_ptr<ConversationDriver> Drive(std::string_view yaml,
                                                 std::string_view target = "peer.example:25",
                                                 std::string_view expect = "") {
  return Drive(GoodModule(yaml), target, expect);
}

// Opens whatever is asked for: the leg, then TLS.
inline void OpenAll(ConversationDriver& probe) {
  for (int i = 0; i < 3; ++i) {
    if (probe.step().kind != Step::Kind::kOpen && probe.step().kind != Step::Kind::kSecure) return;
    probe.Open();
  }
}

// `split` 0: whole; 1: one byte at a time; n: two reads, the first of n - 1 bytes.
inline void Feed(const DialoguePlay& play, ConversationDriver& probe, size_t split) {
  OpenAll(probe);
  for (const DialogueTurn& turn : play.turns) {
    ASSERT_EQ(probe.Sent(), turn.sent);
    ASSERT_FALSE(probe.finished());
    if (split == 1) {
      probe.ReceiveOneByOne(turn.says);
    } else if (split == 0 || split - 1 >= turn.says.size()) {
      probe.Receive(turn.says);
    } else {
      probe.Receive(turn.says.substr(0, split - 1));
      probe.Receive(turn.says.substr(split - 1));
    }
    OpenAll(probe);
  }
  EXPECT_EQ(probe.outcome(), Outcome::kOk) << play.name << ": " << probe.evidence().detail;
  EXPECT_EQ(probe.Sent(), play.farewell);
  EXPECT_EQ(*probe.result().facts.Get(Fact::kFailedRegex), 0);
}

inline void PlayAtEverySplit(const DialoguePlay& play) {
  size_t longest = 0;
  for (const DialogueTurn& turn : play.turns) longest = std::max(longest, turn.says.size());
  const SharedModule module = GoodModule(play.module);
  for (size_t split = 0; split <= longest; ++split) {
    SCOPED_TRACE(std::string(play.name) + " split " + std::to_string(split));
    const auto probe = Drive(module);
    ASSERT_TRUE(probe);
    Feed(play, *probe, split);
  }
}

// The probe as it stands when the peer has said `cut` bytes of turn `turn`; null: it was content
// with less.
inline std::unique_ptr<ConversationDriver> PlayUntil(const DialoguePlay& play,
                                                     const SharedModule& module, size_t turn,
                                                     size_t cut) {
  auto probe = Drive(module);
  if (!probe) return nullptr;
  OpenAll(*probe);
  for (size_t i = 0; i < turn; ++i) {
    probe->Receive(play.turns[i].says);
    OpenAll(*probe);
  }
  probe->Receive(play.turns[turn].says.substr(0, cut));
  OpenAll(*probe);
  return probe->finished() ? nullptr : std::move(probe);
}

// Wherever a peer stops, each way of stopping has its outcome.
inline void BreakAtEveryByte(const DialoguePlay& play) {
  const SharedModule module = GoodModule(play.module);
  size_t broken = 0;
  for (size_t turn = 0; turn < play.turns.size(); ++turn) {
    for (size_t cut = 0; cut < play.turns[turn].says.size(); ++cut) {
      SCOPED_TRACE(std::string(play.name) + " turn " + std::to_string(turn) + " cut " +
                   std::to_string(cut));
      const bool heard = turn > 0 || cut > 0;
      if (const auto probe = PlayUntil(play, module, turn, cut)) {
        ++broken;
        probe->Deadline();
        EXPECT_EQ(probe->outcome(), heard ? Outcome::kDialogueTimeout : Outcome::kFirstByteTimeout);
        EXPECT_TRUE(probe->result().facts.Has(Fact::kFailedRegex));
      }
      if (const auto probe = PlayUntil(play, module, turn, cut)) {
        probe->Close(PeerClose::kReset);
        EXPECT_EQ(probe->outcome(), heard ? Outcome::kDialogueReset : Outcome::kFirstByteReset);
      }
      for (const PeerClose how : {PeerClose::kEnd, PeerClose::kTruncated}) {
        const auto probe = PlayUntil(play, module, turn, cut);
        if (!probe) continue;
        probe->Close(how);
        ASSERT_TRUE(probe->finished());
        if (!heard) { EXPECT_EQ(probe->outcome(), Outcome::kFirstByteClosed); }
        EXPECT_TRUE(probe->result().facts.Has(Fact::kFailedRegex));
      }
    }
  }
  EXPECT_GT(broken, 0u) << play.name;
}

}  // namespace sonde
