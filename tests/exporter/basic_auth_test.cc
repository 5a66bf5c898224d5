#include "exporter/basic_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <utility>

namespace sonde {
namespace {

using testing::HasSubstr;
using Answer = PasswordChecker::Answer;

// Of "right", with the least cost there is.
constexpr std::string_view kTail = "$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
std::string Hash(std::string_view kind = "$2b") { return std::string(kind).append(kTail); }

TEST(BasicAuth, Header) {
  struct Row {
    const char* header;
    const char* user;  // null: none
    const char* password;
  };
  const Row kRows[] = {
      {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},  // RFC 7617 section 2
      {"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
      {"BASIC YTpiOmM=", "a", "b:c"},
      {"Basic Og==", "", ""},
      {"Basic YTo=", "a", ""},
      {"Basic OmI=", "", "b"},
      {"", nullptr, nullptr},
      {"Basic", nullptr, nullptr},
      {"Basic ", nullptr, nullptr},
      {"Basic YQ==", nullptr, nullptr},   // "a": no colon
      {"Basic YTo", nullptr, nullptr},    // padding is missing
      {"Basic YTo=x", nullptr, nullptr},  // something behind it
      {"Basic  YTo=", nullptr, nullptr},  // two blanks
      {"Basic YT o=", nullptr, nullptr},  // a blank inside
      {"Basic YTp=", nullptr, nullptr},   // unused bits are set
      {"Basic a:b", nullptr, nullptr},    // in plain
      {"Bearer YTo=", nullptr, nullptr},
      {"BasicYTo=", nullptr, nullptr},
  };
  for (const Row& row : kRows) {
    const auto found = ParseBasicAuth(row.header);
    ASSERT_EQ(found.has_value(), row.user != nullptr) << row.header;
    if (!found) continue;
    EXPECT_EQ(found->user, row.user) << row.header;
    EXPECT_EQ(found->password, row.password) << row.header;
  }
}

TEST(Bcrypt, Faults) {
  EXPECT_EQ(BcryptFault(Hash("$2a")), "");
  EXPECT_EQ(BcryptFault(Hash("$2b")), "");
  EXPECT_EQ(BcryptFault(Hash("$2y")), "");
  const std::pair<std::string, const char*> kRows[] = {
      {"", "begins with"},
      {"secret", "begins with"},
      {Hash("$2x"), "begins with"},
      {Hash("$1b"), "begins with"},
      {Hash().substr(0, 59), "60 characters, not 59"},
      {Hash() + "a", "60 characters, not 61"},
      {Hash().replace(10, 1, "!"), "two digits"},
      {Hash().replace(4, 2, "x4"), "two digits"},
      {Hash().replace(4, 2, "4x"), "two digits"},
      {Hash().replace(6, 1, "."), "two digits"},
      {Hash().replace(4, 2, "03"), "between 4 and 31"},
      {Hash().replace(4, 2, "32"), "between 4 and 31"},
      {Hash().replace(4, 2, "19"), "costs too much"},
      {Hash().replace(4, 2, "31"), "costs too much"},
  };
  for (const auto& [hash, fault] : kRows) EXPECT_THAT(BcryptFault(hash), HasSubstr(fault)) << hash;
  EXPECT_EQ(BcryptFault(Hash().replace(4, 2, "18")), "");
  EXPECT_EQ(BcryptCost(Hash()), 4);
}

TEST(Bcrypt, Matches) {
  for (const char* kind : {"$2a", "$2b", "$2y"}) {
    EXPECT_TRUE(BcryptMatches(Hash(kind), "right")) << kind;
    for (const std::string_view wrong :
         {std::string_view("wrong"), std::string_view(""), std::string_view("righ"),
          std::string_view("right "), std::string_view("right\0", 6),
          std::string_view("right\0more", 10), std::string_view("\0", 1)}) {
      EXPECT_FALSE(BcryptMatches(Hash(kind), wrong)) << kind << wrong;
    }
  }
  EXPECT_FALSE(BcryptMatches(Hash(), std::string(10'000, 'r')));
  EXPECT_FALSE(BcryptMatches("no hash", "right"));
  EXPECT_FALSE(BcryptMatches("*0", "right"));  // what crypt says when it fails
}

TEST(WebUsers, WhoIsNotThereCostsAsMuch) {
  bool known = true;
  const WebUsers users({{"a", Hash()}, {"b", Hash().replace(4, 2, "07")}});
  EXPECT_EQ(users.HashOf("a", &known), Hash());
  EXPECT_TRUE(known);
  const std::string& nobodys = users.HashOf("c", &known);
  EXPECT_FALSE(known);
  EXPECT_EQ(BcryptFault(nobodys), "");
  EXPECT_EQ(BcryptCost(nobodys), 7);
  EXPECT_FALSE(users.empty());
  EXPECT_TRUE(WebUsers().empty());
  EXPECT_EQ(BcryptCost(WebUsers({{"a", Hash().replace(4, 2, "12")}}).HashOf("b", &known)), 12);
}

// Its worker is turned by hand.
class PasswordCheckerTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open() {
    checker_ = std::make_unique<PasswordChecker>(
        [this](absl::AnyInvocable<void()> work, absl::AnyInvocable<void()> done) {
          if (refuse_) return false;
          jobs_.push_back({std::move(work), std::move(done)});
          return true;
        });
  }
  // One more question; its answer goes to answers_[name], kLater until it has come.
  void Ask(const std::string& name, const std::string& user, const std::string& password,
           uint8_t client = 1) {
    Address from;
    from.family = IpFamily::kV4;
    from.bytes[3] = client;
    const Answer answer = checker_->Ask(
        users_, {user, password}, from, [this, name](Answer late) { answers_[name] = late; },
        &tickets_[name]);
    answers_[name] = answer;
    if (answer != Answer::kLater) { EXPECT_EQ(tickets_[name], nullptr); }
  }
  void RunOne() {
    ASSERT_FALSE(jobs_.empty());
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    job.first();
    job.second();
  }
  void RunAll() {
    while (!jobs_.empty()) RunOne();
  }

  WebUsers users_{{{"ann", Hash()}, {"bob", Hash("$2y")}}};
  bool refuse_ = false;
  std::deque<std::pair<absl::AnyInvocable<void()>, absl::AnyInvocable<void()>>> jobs_;
  std::unique_ptr<PasswordChecker> checker_;
  std::map<std::string, Answer> answers_;
  std::map<std::string, PasswordChecker::Ticket> tickets_;
};

TEST_F(PasswordCheckerTest, RightIsRememberedAndWrongIsNot) {
  Ask("right", "ann", "right");
  Ask("wrong", "ann", "wrong");
  Ask("nobody", "eve", "right");
  EXPECT_EQ(answers_["right"], Answer::kLater);
  EXPECT_EQ(jobs_.size(), 1u);  // one at a time
  RunAll();
  EXPECT_EQ(answers_["right"], Answer::kGood);
  EXPECT_EQ(answers_["wrong"], Answer::kBad);
  EXPECT_EQ(answers_["nobody"], Answer::kBad);
  EXPECT_EQ(checker_->waiting(), 0u);

  tickets_.clear();
  Ask("again", "ann", "right");
  EXPECT_EQ(answers_["again"], Answer::kGood);
  Ask("other", "bob", "right");  // another user with the same password is another question
  EXPECT_EQ(answers_["other"], Answer::kLater);
  Ask("still", "ann", "wrong");
  EXPECT_EQ(answers_["still"], Answer::kLater);
  RunAll();
}

TEST_F(PasswordCheckerTest, AnotherHashIsAskedAnew) {
  Ask("before", "ann", "right");
  RunAll();
  EXPECT_EQ(answers_["before"], Answer::kGood);
  users_ = WebUsers({{"ann", Hash().replace(59, 1, "D")}});
  Ask("after", "ann", "right");
  EXPECT_EQ(answers_["after"], Answer::kLater);
  RunAll();
  EXPECT_EQ(answers_["after"], Answer::kBad);
}

TEST_F(PasswordCheckerTest, PartsOfAQuestionDoNotRunTogether) {
  users_ = WebUsers({{"a", Hash()}, {"ab", Hash()}});
  Ask("a", "a", "right");
  RunAll();
  Ask("ab", "ab", "right");
  EXPECT_EQ(answers_["ab"], Answer::kLater);
}

TEST_F(PasswordCheckerTest, TheSameQuestionIsCheckedOnce) {
  for (int i = 0; i < 1000; ++i) Ask(std::to_string(i), "ann", "right", static_cast<uint8_t>(i));
  EXPECT_EQ(checker_->waiting(), 1u);
  ASSERT_EQ(jobs_.size(), 1u);
  RunOne();
  EXPECT_TRUE(jobs_.empty());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(answers_[std::to_string(i)], Answer::kGood);
}

TEST_F(PasswordCheckerTest, WhoWaitsForOneAnswerIsBounded) {
  for (size_t i = 0; i < PasswordChecker::kMostAsked; ++i) {
    Ask(std::to_string(i), "ann", "right", static_cast<uint8_t>(i));
    EXPECT_EQ(answers_[std::to_string(i)], Answer::kLater) << i;
  }
  Ask("more", "ann", "right");
  EXPECT_EQ(answers_["more"], Answer::kBusy);
  tickets_.erase("7");  // who has left makes room
  Ask("more", "ann", "right");
  EXPECT_EQ(answers_["more"], Answer::kLater);
  RunAll();
  EXPECT_EQ(answers_["more"], Answer::kGood);
  EXPECT_EQ(answers_["7"], Answer::kLater);
}

TEST_F(PasswordCheckerTest, OneClientDoesNotFillTheQueue) {
  for (size_t i = 0; i < PasswordChecker::kMostWaitingPerClient; ++i) {
    Ask("wrong" + std::to_string(i), "ann", "wrong" + std::to_string(i), 1);
    EXPECT_EQ(answers_["wrong" + std::to_string(i)], Answer::kLater);
  }
  Ask("one more", "ann", "one more", 1);
  EXPECT_EQ(answers_["one more"], Answer::kBusy);
  Ask("other", "ann", "right", 2);
  EXPECT_EQ(answers_["other"], Answer::kLater);
  RunAll();
  EXPECT_EQ(answers_["other"], Answer::kGood);
  Ask("one more", "ann", "one more", 1);
  EXPECT_EQ(answers_["one more"], Answer::kLater);
}

TEST_F(PasswordCheckerTest, TheQueueIsBounded) {
  for (size_t i = 0; i < PasswordChecker::kMostWaiting; ++i) {
    Ask(std::to_string(i), "ann", std::to_string(i), static_cast<uint8_t>(i));
    EXPECT_EQ(answers_[std::to_string(i)], Answer::kLater) << i;
  }
  Ask("more", "ann", "more", 200);
  EXPECT_EQ(answers_["more"], Answer::kBusy);
  // Who has left makes room; the one being checked keeps its place.
  tickets_.erase("5");
  Ask("more", "ann", "more", 200);
  EXPECT_EQ(answers_["more"], Answer::kLater);
  EXPECT_EQ(checker_->waiting(), PasswordChecker::kMostWaiting);
  RunAll();
  EXPECT_EQ(answers_["more"], Answer::kBad);
  EXPECT_EQ(answers_["5"], Answer::kLater);  // was never told
}

TEST_F(PasswordCheckerTest, NobodyIsToldWhoLeft) {
  Ask("first", "ann", "right");
  Ask("second", "ann", "wrong");
  tickets_.clear();
  RunOne();
  EXPECT_TRUE(jobs_.empty());  // the second is not even checked
  EXPECT_EQ(answers_["first"], Answer::kLater);
  Ask("again", "ann", "right");
  EXPECT_EQ(answers_["again"], Answer::kGood);  // what was found out is not thrown away
}

TEST_F(PasswordCheckerTest, MemoryIsBounded) {
  std::map<std::string, std::string, std::less<>> many;
  for (size_t i = 0; i <= PasswordChecker::kMostRemembered; ++i)
    many["u" + std::to_string(i)] = Hash();
  users_ = WebUsers(many);
  for (const auto& [user, hash] : many) {
    Ask(user, user, "right");
    RunAll();
    EXPECT_EQ(answers_[user], Answer::kGood);
  }
  tickets_.clear();
  const std::string first = many.begin()->first, last = many.rbegin()->first;
  Ask(last, last, "right");
  EXPECT_EQ(answers_[last], Answer::kGood);
  Ask(first, first, "right");
  EXPECT_EQ(answers_[first], Answer::kLater);  // the oldest was forgotten
}

TEST_F(PasswordCheckerTest, WithoutAWorkerItIsBusy) {
  refuse_ = true;
  Ask("none", "ann", "right");
  EXPECT_EQ(answers_["none"], Answer::kBusy);
  EXPECT_EQ(checker_->waiting(), 0u);
  refuse_ = false;
  Ask("first", "ann", "1");
  Ask("second", "ann", "2");
  refuse_ = true;
  RunOne();
  EXPECT_EQ(answers_["first"], Answer::kBad);
  EXPECT_EQ(answers_["second"], Answer::kBusy);
  EXPECT_EQ(checker_->waiting(), 0u);
}

TEST_F(PasswordCheckerTest, MayGoWhileTheWorkerRuns) {
  Ask("late", "ann", "right");
  checker_.reset();
  RunOne();
  EXPECT_EQ(answers_["late"], Answer::kLater);
}

}  // namespace
}  // namespace sonde
