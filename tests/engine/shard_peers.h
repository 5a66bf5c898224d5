// Peers and shorthands that the tests of a shard share.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "engine/shard/shard.h"
#include "tests/support/fake_prober.h"
#include "tests/support/sim_world.h"

namespace sonde {

using Mode = FakeModule::Mode;

// Accepts after 1 ms and answers what it is told to, after `delay`.
class Answering : public SimPeer {
 public:
  explicit Answering(std::string text = "PONG\n", Duration delay = Milliseconds(5))
      : text_(std::move(text)), delay_(delay) {}
  void OnBytes(SimConnection& connection, std::string_view) override {
    connection.Send(text_, delay_);
  }

 private:
  std::string text_;
  Duration delay_;
};

class Silent : public SimPeer {
  std::optional<Answer> OnConnect() override { return std::nullopt; }
};

class Refusing : public SimPeer {
 public:
  explicit Refusing(int error = ECONNREFUSED) : error_(error) {}
  std::optional<Answer> OnConnect() override { return Answer{error_, Milliseconds(1)}; }

 private:
  int error_;
};

// Accepts and never says a word.
class Mute : public SimPeer {};

template <typename Peer, typename... Args>
void AddPeer(SimWorld& world, const std::string& where, Args&&... args) {
  world.network().AddPeer(where, std::make_shared<Peer>(std::forward<Args>(args)...));
}

// Runs one task to its first result.
inline SimRun RunOnce(SimWorld& world, const FakeTask& task) {
  world.Add(task.Make());
  EXPECT_TRUE(world.RunToNext(Seconds(30)));
  return world.runs.back();
}

inline uint64_t Blocks(const SimWorld& world, BlockReason reason) {
  return const_cast<SimWorld&>(world).shard().Stats().blocked[static_cast<size_t>(reason)];
}

inline uint64_t Skips(const SimWorld& world, SkipReason reason) {
  return const_cast<SimWorld&>(world).shard().Stats().skipped[static_cast<size_t>(reason)];
}

}  // namespace sonde
