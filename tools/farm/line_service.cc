#include "tools/farm/line_service.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>
#include <vector>

namespace sonde {
namespace {

using Kind = FarmStep::Kind;

std::string Upper(std::string_view text) {
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper;
}

class Banner : public LineService {
 public:
  explicit Banner(const ListenerConfig& config) : config_(config) {}
  void Open(FarmSteps& steps, Random& random) override {
    steps.Wait(config_.delay.Draw(random));
    steps.Send(config_.banner);
  }
  size_t Take(std::string_view in, FarmSteps&, Random&) override { return in.size(); }

 private:
  const ListenerConfig& config_;
};

class Echo : public LineService {
 public:
  Echo(const ListenerConfig& config, bool answers) : config_(config), answers_(answers) {}
  void Open(FarmSteps&, Random&) override {}
  size_t Take(std::string_view in, FarmSteps& steps, Random& random) override {
    if (answers_) {
      steps.Wait(config_.delay.Draw(random));
      steps.SendOwned(std::string(in));
    }
    return in.size();
  }

 private:
  const ListenerConfig& config_;
  bool answers_;
};

// Services that speak in lines.
class Lines : public LineService {
 public:
  explicit Lines(const ListenerConfig& config) : config_(config) {}
  size_t Take(std::string_view in, FarmSteps& steps, Random& random) override {
    size_t taken = 0;
    for (size_t end; !ended_ && (end = in.find('\n', taken)) != in.npos; taken = end + 1) {
      std::string_view line = in.substr(taken, end - taken);
      if (line.ends_with('\r')) line.remove_suffix(1);
      steps.Wait(config_.delay.Draw(random));
      OnLine(line, steps);
    }
    if (ended_) return in.size();
    if (in.size() - taken > kLongestLine) steps.Add(Kind::kClose);
    return taken;
  }

 protected:
  virtual void OnLine(std::string_view line, FarmSteps& steps) = 0;
  void End(FarmSteps& steps) {
    steps.Add(Kind::kClose);
    ended_ = true;
  }
  const ListenerConfig& config_;

 private:
  bool ended_ = false;
};

// RFC 5321's commands as far as a probe goes, and RFC 3207's STARTTLS.
class Smtp : public Lines {
 public:
  using Lines::Lines;
  void Open(FarmSteps& steps, Random& random) override {
    steps.Wait(config_.delay.Draw(random));
    steps.Send("220 farm.test ESMTP ready\r\n");
  }
  std::string_view ErrorText() const override { return "421 farm.test shutting down\r\n"; }

 protected:
  void OnLine(std::string_view line, FarmSteps& steps) override {
    if (in_data_) {
      if (line != ".") return;
      in_data_ = false;
      steps.Send("250 2.0.0 queued\r\n");
      return;
    }
    const std::string verb = Upper(line.substr(0, line.find(' ')));
    if (verb == "EHLO") {
      steps.Send(secured_ ? "250-farm.test\r\n250 SIZE 1000000\r\n"
                          : "250-farm.test\r\n250-STARTTLS\r\n250 SIZE 1000000\r\n");
    } else if (verb == "STARTTLS" && !secured_) {
      steps.Send("220 2.0.0 ready to start TLS\r\n");
      steps.Add(Kind::kSecure);
      secured_ = true;
    } else if (verb == "QUIT") {
      steps.Send("221 2.0.0 bye\r\n");
      End(steps);
    } else if (verb == "DATA") {
      steps.Send("354 end with a dot\r\n");
      in_data_ = true;
    } else if (verb == "HELO" || verb == "NOOP" || verb == "RSET" || verb == "MAIL" ||
               verb == "RCPT") {
      steps.Send("250 2.0.0 ok\r\n");
    } else {
      steps.Send("500 5.5.1 unknown command\r\n");
    }
  }

 private:
  bool in_data_ = false, secured_ = false;
};

// Redis' protocol (RESP2), inline commands and arrays; a handful of commands.
class Redis : public Lines {
 public:
  using Lines::Lines;
  void Open(FarmSteps&, Random&) override {}
  std::string_view ErrorText() const override { return "-ERR simulated failure\r\n"; }

 protected:
  void OnLine(std::string_view line, FarmSteps& steps) override {
    if (line.starts_with('*') && waiting_ == 0) {
      const auto end = line.data() + line.size();
      if (std::from_chars(line.data() + 1, end, waiting_).ec != std::errc() || waiting_ > 64 ||
          waiting_ < 0) {
        steps.Send("-ERR Protocol error\r\n");
        End(steps);
      }
      words_.clear();
      return;
    }
    if (waiting_ > 0) {
      if (line.starts_with('$')) return;  // lengths are taken on trust: arguments are lines here
      words_.emplace_back(line);
      if (--waiting_ == 0) Command(steps);
      return;
    }
    words_.clear();
    for (size_t at = 0; at < line.size();) {
      const size_t end = std::min(line.find(' ', at), line.size());
      if (end > at) words_.emplace_back(line.substr(at, end - at));
      at = end + 1;
    }
    if (!words_.empty()) Command(steps);
  }

 private:
  void Command(FarmSteps& steps) {
    const std::string verb = Upper(words_[0]);
    if (verb == "PING") {
      steps.Send("+PONG\r\n");
    } else if (verb == "INFO") {
      steps.Send("$30\r\nrole:master\r\nredis_version:7\r\n\r\n");
    } else if (verb == "GET") {
      steps.Send("$-1\r\n");
    } else if (verb == "SET" || verb == "AUTH" || verb == "SELECT") {
      steps.Send("+OK\r\n");
    } else if (verb == "QUIT") {
      steps.Send("+OK\r\n");
      End(steps);
    } else {
      steps.Send("-ERR unknown command\r\n");
    }
  }

  int waiting_ = 0;
  std::vector<std::string> words_;
};

// A configured dialogue. A line other than the expected one ends it.
class Script : public Lines {
 public:
  using Lines::Lines;
  void Open(FarmSteps& steps, Random& random) override {
    steps.Wait(config_.delay.Draw(random));
    Say(steps);
  }

 protected:
  void OnLine(std::string_view line, FarmSteps& steps) override {
    if (at_ >= config_.script.size()) return;
    if (!line.starts_with(config_.script[at_].expect)) return End(steps);
    steps.Send(config_.script[at_++].send);
    Say(steps);
  }

 private:
  void Say(FarmSteps& steps) {
    while (at_ < config_.script.size() && config_.script[at_].expect.empty()) {
      steps.Send(config_.script[at_++].send);
    }
    if (at_ >= config_.script.size()) End(steps);
  }
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<LineService> LineService::Make(const ListenerConfig& config) {
  switch (config.service) {
    case ListenerConfig::Service::kBanner:
      return std::make_unique<Banner>(config);
    case ListenerConfig::Service::kEcho:
      return std::make_unique<Echo>(config, true);
    case ListenerConfig::Service::kDiscard:
      return std::make_unique<Echo>(config, false);
    case ListenerConfig::Service::kSmtp:
      return std::make_unique<Smtp>(config);
    case ListenerConfig::Service::kRedis:
      return std::make_unique<Redis>(config);
    case ListenerConfig::Service::kScript:
      return std::make_unique<Script>(config);
  }
  return nullptr;
}

}  // namespace sonde
