// Basic authentication (RFC 7617) against bcrypt hashes. A hash is made to be slow to check, so
// that is done on a worker, one at a time, and what was found right is remembered.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "engine/contract/address.h"
#include "exporter/probe_limits.h"

namespace sonde {

struct Credentials {
  std::string user;
  std::string password;
};

// The value of an Authorization header; nullopt for any other scheme and for what is not RFC 7617.
std::optional<Credentials> ParseBasicAuth(std::string_view header);

// What is wrong with a text as a bcrypt hash ($2a$, $2b$, $2y$), in words; empty: nothing.
std::string BcryptFault(std::string_view hash);
int BcryptCost(std::string_view hash);  // of one without a fault: the work doubles with each

// 2^18 rounds take seconds; more would hold up whoever waits, and the end of the process.
inline constexpr int kMostBcryptCost = 18;

// Slow. Any thread. As everywhere bytes of the password beyond the 72nd do not count; one with a
// NUL is never right.
bool BcryptMatches(std::string_view hash, std::string_view password);

// Names and hashes. Immutable once made.
class WebUsers {
 public:
  WebUsers() = default;
  explicit WebUsers(std::map<std::string, std::string, std::less<>> hashes);

  bool empty() const { return hashes_.empty(); }
  // The hash of that user; of nobody when there is no such user: as slow to check as another's.
  const std::string& HashOf(std::string_view user, bool* known) const;

 private:
  std::map<std::string, std::string, std::less<>> hashes_;
  std::string nobodys_;
};

// Answers whether a password is right. Loop thread.
class PasswordChecker {
 public:
  enum class Answer : uint8_t {
    kGood,
    kBad,
    kBusy,   // too many wait for one already
    kLater,  // of Ask only: `done` is called, unless the ticket goes first
  };
  using Done = absl::AnyInvocable<void(Answer)>;
  // Runs `work` on another thread, then `done` on the loop; false when it does not.
  using RunInWorker =
      absl::AnyInvocable<bool(absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done)>;
  // Whoever lets go of it does not want the answer any more.
  using Ticket = std::shared_ptr<Done>;

  explicit PasswordChecker(RunInWorker run);
  ~PasswordChecker();  // `done` of what is asked then is never called
  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  // `done` is never called from inside. Who asks what is being asked already shares its answer, so
  // that a thousand first requests of one scraper cost one check.
  Answer Ask(const WebUsers& users, const Credentials& credentials, const Address& client,
             Done done, Ticket* ticket);

  static constexpr size_t kMostWaiting = 64;          // different questions
  static constexpr size_t kMostWaitingPerClient = 8;  // of them, by address of who asked first
  static constexpr size_t kMostAsked = 1024;          // who wait for one answer
  static constexpr size_t kMostRemembered = 128;      // right answers

  size_t waiting() const { return checks_.size(); }

 private:
  struct Check;

  std::string KeyOf(std::string_view user, std::string_view hash, std::string_view password) const;
  bool Remembers(const std::string& key) const;
  bool HasRoom(const ProbeLimits::Client& client) const;
  void RunNext();
  bool Run(const std::shared_ptr<Check>& check);
  void Finish(const Check& check);
  static void Tell(const Check& check, Answer answer);

  RunInWorker run_;
  std::string secret_;                         // of the keys, of this process alone
  std::deque<std::string> right_;              // keys of right answers, the oldest first
  std::deque<std::shared_ptr<Check>> checks_;  // the first is being checked
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sonde
