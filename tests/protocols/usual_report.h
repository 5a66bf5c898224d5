// Whether a prober's Usual is what its good runs report.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/conversation_driver.h"

namespace sonde {

// `probe` went well. Success, duration and time-out are the engine's; there is no kernel to ask.
inline void ExpectUsualReport(ConversationDriver& probe) {
  UsualReport usual = probe.task().prober->Usual(probe.task());
  usual.facts.Clear(Fact::kTcpSynRetransmits);
  usual.facts.Clear(Fact::kTcpKernelRtt);
  EXPECT_EQ(usual.facts.present(), probe.result().facts.present());
  UsualReport said;
  for (const Text& text : probe.texts()) said.Add(text.family);
  EXPECT_EQ(usual.texts, said.texts);
}

}  // namespace sonde
