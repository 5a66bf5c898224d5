// Whether a prober's Usual is what its good runs report.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/conversation_driver.h"

namespace sonde {

// `probe` went well. Success, duration and time-out are the engine's.
inline void ExpectUsualReport(ConversationDriver& probe) {
  const UsualReport usual = probe.task().prober->Usual(probe.task());
  EXPECT_EQ(usual.facts.present(), probe.result().facts.present());
  UsualReport said;
  for (const Text& text : probe.texts()) said.Add(text.family);
  EXPECT_EQ(usual.texts, said.texts);
}

}  // namespace sonde
