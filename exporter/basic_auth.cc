#include "exporter/basic_auth.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/contract/base64.h"
#include "exporter/http_text.h"

namespace sonde {
namespace {

constexpr size_t kHashSize = 60;      // "$2b$10$", 22 of salt, 31 of hash
constexpr size_t kPrefixSize = 7;     // "$2b$10$"
constexpr size_t kPasswordSize = 72;  // what bcrypt looks at
constexpr size_t kKeySize = 32;
// Salt and hash of a password nobody knows.
constexpr std::string_view kNobodys = "Dj4nWWJ8mB1xAdPqKzVhZuCkyTZC0fV0cXbGvR5m1f5aEr7pQxW6y";
constexpr int kUsualCost = 10;

bool IsBcryptChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '/';
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// With its length in front, so that no two lists of texts give the same bytes.
void AppendPart(std::string* out, std::string_view part) {
  out->append(std::to_string(part.size())).append(":").append(part);
}

}  // namespace

std::optional<Credentials> ParseBasicAuth(std::string_view header) {
  constexpr std::string_view kScheme = "Basic ";
  if (header.size() < kScheme.size() ||
      !EqualsIgnoringCase(header.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  const std::string_view code = header.substr(kScheme.size());
  if (code.find_first_of(" \t\r\n") != code.npos) return std::nullopt;
  const std::optional<std::string> plain = DecodeBase64(code);
  const size_t colon = plain ? plain->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return Credentials{plain->substr(0, colon), plain->substr(colon + 1)};
}

int BcryptCost(std::string_view hash) { return (hash[4] - '0') * 10 + (hash[5] - '0'); }

std::string BcryptFault(std::string_view hash) {
  if (!hash.starts_with("$2a$") && !hash.starts_with("$2b$") && !hash.starts_with("$2y$")) {
    return "is no bcrypt hash: one begins with $2a$, $2b$ or $2y$";
  }
  if (hash.size() != kHashSize) {
    return "is no bcrypt hash: one has 60 characters, not " + std::to_string(hash.size());
  }
  if (!IsDigit(hash[4]) || !IsDigit(hash[5]) || hash[6] != '$' ||
      !std::all_of(hash.begin() + kPrefixSize, hash.end(), IsBcryptChar)) {
    return "is no bcrypt hash: $2b$, two digits of cost, $, salt and hash";
  }
  const int cost = BcryptCost(hash);
  if (cost < 4 || cost > 31) return "is no bcrypt hash: its cost is not between 4 and 31";
  if (cost > kMostBcryptCost) {
    return "costs too much to check: " + std::to_string(cost) + ", and at most " +
           std::to_string(kMostBcryptCost) + " is taken";
  }
  return {};
}

bool BcryptMatches(std::string_view hash, std::string_view password) {
  const bool whole = password.find('\0') == password.npos;
  std::string word(password.substr(0, kPasswordSize));
  const std::string setting(hash);
  const auto data = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = crypt_r(word.c_str(), setting.c_str(), data.get());
  const bool same = made != nullptr && std::strlen(made) == setting.size() &&
                    CRYPTO_memcmp(made, setting.data(), setting.size()) == 0;
  OPENSSL_cleanse(word.data(), word.size());
  OPENSSL_cleanse(data.get(), sizeof *data);
  return same && whole;
}

WebUsers::WebUsers(std::map<std::string, std::string, std::less<>> hashes)
    : hashes_(std::move(hashes)) {
  int cost = hashes_.empty() ? kUsualCost : 0;
  for (const auto& [user, hash] : hashes_) cost = std::max(cost, BcryptCost(hash));
  nobodys_ = cost < 10 ? "$2b$0" : "$2b$";
  nobodys_.append(std::to_string(cost)).append("$").append(kNobodys);
}

const std::string& WebUsers::HashOf(std::string_view user, bool* known) const {
  const auto found = hashes_.find(user);
  *known = found != hashes_.end();
  return *known ? found->second : nobodys_;
}

// One question, and who asked it.
struct PasswordChecker::Check {
  ~Check() { OPENSSL_cleanse(password.data(), password.size()); }
  bool Wanted() const {
    return std::any_of(asked.begin(), asked.end(), [](const auto& one) { return !one.expired(); });
  }

  // False: too many wait for this answer. Who asked and went makes room.
  bool Join(const std::shared_ptr<Done>& ticket) {
    if (asked.size() == kMostAsked) {
      std::erase_if(asked, [](const auto& one) { return one.expired(); });
    }
    if (asked.size() == kMostAsked) return false;
    asked.push_back(ticket);
    return true;
  }

  std::string key;
  std::string hash;
  std::string password;
  bool known = false;
  bool good = false;  // the worker's, until it is done
  ProbeLimits::Client client{};
  std::vector<std::weak_ptr<Done>> asked;
};

PasswordChecker::PasswordChecker(RunInWorker run) : run_(std::move(run)), secret_(kKeySize, 0) {
  RAND_bytes(reinterpret_cast<unsigned char*>(secret_.data()), kKeySize);
}
PasswordChecker::~PasswordChecker() = default;

// A keyed hash, so that neither memory nor the time of a look-up tells a password.
std::string PasswordChecker::KeyOf(std::string_view user, std::string_view hash,
                                   std::string_view password) const {
  std::string text;
  for (const std::string_view part : {user, hash, password}) AppendPart(&text, part);
  std::string key(EVP_MAX_MD_SIZE, 0);
  unsigned size = 0;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(key.data()), &size);
  OPENSSL_cleanse(text.data(), text.size());
  key.resize(size);
  return key;
}

bool PasswordChecker::Remembers(const std::string& key) const {
  return std::find(right_.begin(), right_.end(), key) != right_.end();
}

bool PasswordChecker::HasRoom(const ProbeLimits::Client& client) const {
  const auto clients = std::count_if(checks_.begin(), checks_.end(), [&](const auto& check) {
    return check->client == client && check->Wanted();
  });
  return checks_.size() < kMostWaiting && static_cast<size_t>(clients) < kMostWaitingPerClient;
}

PasswordChecker::Answer PasswordChecker::Ask(const WebUsers& users, const Credentials& credentials,
                                             const Address& client, Done done, Ticket* ticket) {
  auto check = std::make_shared<Check>();
  check->hash = users.HashOf(credentials.user, &check->known);
  check->key = KeyOf(credentials.user, check->hash, credentials.password);
  if (Remembers(check->key)) return Answer::kGood;
  *ticket = std::make_shared<Done>(std::move(done));
  const auto same = std::find_if(checks_.begin(), checks_.end(),
                                 [&](const auto& one) { return one->key == check->key; });
  if (same != checks_.end()) {
    if (!(*same)->Join(*ticket)) {
      ticket->reset();
      return Answer::kBusy;
    }
    return Answer::kLater;
  }
  check->client = ProbeLimits::ClientOf(client);
  check->password = credentials.password;
  check->asked.push_back(*ticket);
  // What nobody waits for any more gives its place away; the first is with the worker.
  if (!checks_.empty()) {
    checks_.erase(std::remove_if(checks_.begin() + 1, checks_.end(),
                                 [](const auto& one) { return !one->Wanted(); }),
                  checks_.end());
  }
  if (!HasRoom(check->client) || (checks_.empty() && !Run(check))) {
    ticket->reset();
    return Answer::kBusy;
  }
  checks_.push_back(std::move(check));
  return Answer::kLater;
}

bool PasswordChecker::Run(const std::shared_ptr<Check>& check) {
  return run_(
      [check] { check->good = BcryptMatches(check->hash, check->password) && check->known; },
      [this, check, alive = std::weak_ptr<char>(alive_)] {
        if (!alive.expired()) Finish(*check);
      });
}

void PasswordChecker::Finish(const Check& check) {
  const std::shared_ptr<Check> finished = std::move(checks_.front());
  checks_.pop_front();
  if (check.good) {
    right_.push_back(check.key);
    if (right_.size() > kMostRemembered) right_.pop_front();
  }
  RunNext();
  Tell(check, check.good ? Answer::kGood : Answer::kBad);
}

void PasswordChecker::RunNext() {
  while (!checks_.empty()) {
    const std::shared_ptr<Check>& next = checks_.front();
    if (next->Wanted()) {
      if (Run(next)) return;
      Tell(*next, Answer::kBusy);
    }
    checks_.pop_front();
  }
}

void PasswordChecker::Tell(const Check& check, Answer answer) {
  for (const std::weak_ptr<Done>& one : check.asked) {
    if (const Ticket done = one.lock()) (*done)(answer);
  }
}

}  // namespace sonde
