#include "tests/support/play.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "engine/contract/duration_text.h"
#include "protocols/registry.h"
#include "store/task_file.h"
#include "tests/support/sim_world.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_server.h"

namespace sonde {
namespace {

class PlayFiles : public Files {
 public:
  uint64_t epoch() const override { return 1; }
  std::shared_ptr<const FileContent> Find(std::string_view path) const override {
    auto content = std::make_shared<FileContent>();
    content->version = 1;
    if (path == "ca.pem") {
      content->data = TestCertificates::Get().ca.Pem();
    } else if (path == "secret.txt") {
      content->data = "s3cret\n";
    } else {
      content->error = "open '" + std::string(path) + "': No such file or directory";
    }
    return content;
  }
  void Watch(const std::string&) override {}
};

const Certificate* FindCertificate(const std::string& name) {
  const TestCertificates& all = TestCertificates::Get();
  const std::map<std::string, const Certificate*> by_name = {{"good", &all.good},
                                                             {"expired", &all.expired},
                                                             {"not_yet_valid", &all.not_yet_valid},
                                                             {"wrong_name", &all.wrong_name},
                                                             {"self_signed", &all.self_signed},
                                                             {"untrusted", &all.untrusted},
                                                             {"tampered", &all.tampered}};
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

// The peer of a play: does what its lines say, when they say it.
class PlayPeer : public SimPeer {
 public:
  std::optional<Answer> answer = Answer{};
  const Certificate* certificate = nullptr;
  std::string alpn;
  SimConnection* newest = nullptr;
  int accepted = 0;
  std::string received;
  std::unique_ptr<TlsServer> tls;
  Duration tls_delay = Milliseconds(1);

  std::optional<Answer> OnConnect() override { return answer; }
  void OnAccepted(SimConnection& connection) override {
    newest = &connection;
    ++accepted;
    Begin();
  }
  // The prober may speak before it hears that it was accepted.
  void Begin() {
    if (begun_ == newest->serial()) return;
    begun_ = newest->serial();
    received.clear();
    tls.reset();
    if (!certificate) return;
    TlsServerOptions options;
    options.chain = {*certificate};
    options.alpn = alpn;
    options.ticket_keys = std::string(80, 'k');  // the next connection knows this one's tickets
    tls = std::make_unique<TlsServer>(options);
  }
  std::vector<SimDatagram> datagrams;  // that came, in order
  bool echoes = false;                 // each is answered at once

  void OnDatagram(SimNetwork& network, const SimDatagram& datagram) override {
    datagrams.push_back(datagram);
    if (echoes) network.Deliver(datagram.socket, datagram.to, EchoReplyTo(datagram), answer->delay);
  }
  void OnBytes(SimConnection& connection, std::string_view bytes) override {
    newest = &connection;
    Begin();
    if (!tls) {
      received += bytes;
      return;
    }
    const std::string reply = tls->Feed(bytes);
    received = tls->received();
    if (!reply.empty()) connection.Send(reply, tls_delay);
  }

 private:
  uint64_t begun_ = 0;
};

struct Line {
  int number = 0;
  std::string text;
  std::vector<std::string> words;  // quoted texts are one word, unescaped
};

std::string Unescape(std::string_view text, size_t* at) {
  std::string out;
  for (++*at; *at < text.size() && text[*at] != '"'; ++*at) {
    if (text[*at] != '\\' || *at + 1 >= text.size()) {
      out += text[*at];
      continue;
    }
    const char code = text[++*at];
    if (code == 'x' && *at + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(*at + 1, 2)), nullptr, 16));
      *at += 2;
      continue;
    }
    const std::map<char, char> kCodes = {{'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'0', '\0'}};
    const auto found = kCodes.find(code);
    out += found == kCodes.end() ? code : found->second;
  }
  return out;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text[i] == '#') break;
    if (text[i] == '"') {
      words.push_back(Unescape(text, &i));
      continue;
    }
    std::string word;
    int braces = 0;
    for (; i < text.size() && (text[i] != ' ' || braces > 0); ++i) {
      braces += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
      word += text[i];
    }
    words.push_back(word);
  }
  return words;
}

int ErrnoOf(const std::string& name) {
  const std::map<std::string, int> kNames = {
      {"EHOSTUNREACH", EHOSTUNREACH}, {"ENETUNREACH", ENETUNREACH}, {"ETIMEDOUT", ETIMEDOUT},
      {"ECONNRESET", ECONNRESET},     {"EACCES", EACCES},           {"EPROTO", EPROTO}};
  const auto found = kNames.find(name);
  return found == kNames.end() ? 0 : found->second;
}

class Play {
 public:
  std::string Run(const std::string& path, Outcome* outcome);

 private:
  void Read(const std::string& path);
  void Load();
  void Stage(const Line& line);
  void Act(const Line& line);
  void ActOnDatagram(const Line& line, const SimDatagram& datagram);
  std::string DnsAnswer(const Line& line, const SimDatagram& query);
  void ExpectRun(const Line& line);
  void ExpectFact(const Line& line);
  void ExpectText(const Line& line);
  void Fail(const Line& line, const std::string& what) {
    problems_ += "line " + std::to_string(line.number) + ": " + line.text + "\n    " + what + "\n";
  }
  bool Check(const Line& line, bool holds, const std::string& what) {
    if (!holds) Fail(line, what);
    return holds;
  }
  Duration Time(const Line& line, const std::string& word) {
    const auto time = ParseDuration(word);
    if (!time) Fail(line, "not a time: " + word);
    return time.value_or(Duration{});
  }
  // "10.0.0.1:80" is a peer of connections, "udp/10.0.0.1:53" and "icmp/10.0.0.1" of datagrams.
  PlayPeer& Peer(std::string where) {
    const size_t slash = where.find('/');
    if (slash != std::string::npos) where[slash] = ' ';
    auto& peer = peers_[where];
    if (!peer) {
      peer = std::make_shared<PlayPeer>();
      world_->network().AddPeer(where, peer);
    }
    last_peer_ = peer.get();
    if (slash != std::string::npos) last_datagram_peer_ = peer.get();
    return *peer;
  }
  // The peer of the newest connection.
  PlayPeer* Newest() {
    PlayPeer* newest = nullptr;
    for (auto& [where, peer] : peers_) {
      if (peer->newest && (!newest || where == connected_)) newest = peer.get();
    }
    return newest;
  }

  std::string config_;
  std::vector<Line> stage_, acts_, expects_;
  std::string problems_;
  size_t run_ = 0;  // that expectations are about
  PlayFiles files_;
  std::unique_ptr<SimWorld> world_;
  std::map<std::string, std::shared_ptr<PlayPeer>> peers_;
  PlayPeer* last_peer_ = nullptr;
  PlayPeer* last_datagram_peer_ = nullptr;
  std::string connected_;
  std::vector<std::shared_ptr<const Task>> tasks_;
  std::shared_ptr<const ProbePolicy> policy_;
};

void Play::Read(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  bool in_config = false;
  for (int number = 1; std::getline(in, text); ++number) {
    if (text == "config:") {
      in_config = true;
      continue;
    }
    if (in_config && (text.starts_with("  ") || text.empty())) {
      config_ += (text.empty() ? text : text.substr(2)) + "\n";
      continue;
    }
    in_config = false;
    Line line{number, text, Words(text)};
    if (line.words.empty()) continue;
    const std::string& first = line.words[0];
    (first == "at" ? acts_ : first == "expect" ? expects_ : stage_).push_back(line);
  }
}

void Play::Load() {
  Diagnostics diagnostics;
  TaskFile file = ReadTaskFile(config_, Probers(), diagnostics);
  if (!diagnostics.ok()) problems_ += diagnostics.ToString("config");
  tasks_ = std::move(file.tasks);
  if (tasks_.empty()) problems_ += "the play has no task\n";
  policy_ = std::make_shared<ProbePolicy>(std::move(file.policy));
}

void Play::Stage(const Line& line) {
  const auto& w = line.words;
  if (w[0] == "name" && w.size() >= 4) {
    SimName name;
    if (w[2] == "fails") name.outcome = FindOutcome(w[3]).value_or(Outcome::kProberInternal);
    if (w[3] == "silent") name.silent = true;
    if (w[2] == "is" && !name.silent) {
      for (size_t i = 3; i < w.size() && w[i] != "after"; ++i) {
        const auto address = Address::ParseLiteral(w[i]);
        if (Check(line, address.has_value(), "not an address")) name.addresses.push_back(*address);
      }
    }
    if (w.size() > 4 && w[w.size() - 2] == "after") name.delay = Time(line, w.back());
    world_->network().AddName(w[1], name);
  } else if (w[0] == "peer" && w.size() >= 3) {
    PlayPeer& peer = Peer(w[1]);
    if (w.back() == "silent") peer.answer.reset();
    if (w[2] == "refuses") peer.answer->error = ECONNREFUSED;
    if (w[2] == "fails") peer.answer->error = ErrnoOf(w[3]);
    if (w[2] == "speaks") peer.certificate = FindCertificate(w[4]);
    if (w[2] == "speaks" && w.size() > 6) peer.alpn = w[6];  // speaks tls NAME as h2
    if (w[2] == "echoes") peer.echoes = true;
    if (w[w.size() - 2] == "after") peer.answer->delay = Time(line, w.back());
  } else if (w[0] == "prober" && w.size() == 3) {
    const std::map<std::string, int> kLacks = {
        {"ports", EADDRNOTAVAIL}, {"descriptors", EMFILE}, {"memory", ENOBUFS}};
    const auto lack = kLacks.find(w[2]);
    if (Check(line, lack != kLacks.end(), "no such lack")) {
      world_->network().FailConnects(lack->second, 1);
    }
  } else if (w[0] == "peers" && w.size() == 4) {  // peers take N bytes
    world_->network().first_window = std::stoul(w[2]);
  } else {
    Fail(line, "no such line");
  }
}

void Play::Act(const Line& line) {
  const auto& w = line.words;
  const std::string verb = w.size() > 3 ? w[3] : "";
  if (w.size() > 4 && w[2] == "stand") {
    world_->StandStill(Time(line, w.back()));
    return;
  }
  if (w[2] == "prober" && verb == "loses") {  // prober loses N: its receive queue was full
    world_->network().receive_drops += std::stoul(w[4]);
    return;
  }
  if (last_datagram_peer_ && !last_datagram_peer_->datagrams.empty()) {
    ActOnDatagram(line, last_datagram_peer_->datagrams.back());
    return;
  }
  PlayPeer* peer = Newest();
  if (w[2] == "expect" && verb == "sent") {
    if (!Check(line, peer != nullptr, "nobody is connected")) return;
    const std::string& want = w[4];
    Check(
        line,
        w[4] == "nothing" ? peer->received.empty() : peer->received.find(want) != std::string::npos,
        "sent was: " + peer->received);
    if (w[4] != "nothing") peer->received.clear();
    return;
  }
  if (!Check(line, peer && world_->network().IsOpen(peer->newest), "nobody is connected")) {
    return;
  }
  if (verb == "sends") {
    const std::string bytes = peer->tls ? peer->tls->Write(w[4]) : w[4];
    if (w.size() > 5) {
      peer->newest->SendEachByte(bytes, Time(line, w.back()));
    } else {
      peer->newest->Send(bytes);
    }
  } else if (verb == "closes") {
    if (peer->tls && peer->tls->open()) peer->newest->Send(peer->tls->Shutdown());
    peer->newest->End();
  } else if (verb == "truncates") {
    peer->newest->End();
  } else if (verb == "resets") {
    peer->newest->Reset();
  } else if (verb == "starts") {  // peer starts tls NAME [saying BYTES]: in the clear, before it
    if (w.size() > 7) peer->newest->Send(w[7]);
    TlsServerOptions options;
    options.chain = {*FindCertificate(w[5])};
    peer->tls = std::make_unique<TlsServer>(options);
  } else {
    Fail(line, "no such act");
  }
}

// peer echoes [to N]                  the reply to the last echo request, or the N-th
// peer says icmp TYPE CODE            an ICMP error about it
// peer answers FLAGS A/B/C RECORDS [wrong_id] [wrong_question] [from HOST:PORT]
//                                     a DNS answer with these flags, counts and record bytes
// peer sends BYTES                    a message as it is
void Play::ActOnDatagram(const Line& line, const SimDatagram& datagram) {
  const auto& w = line.words;
  SimNetwork& network = world_->network();
  const auto has = [&](const char* word) { return std::find(w.begin(), w.end(), word) != w.end(); };
  Address from = datagram.to;
  if (const auto at = std::find(w.begin(), w.end(), "from"); at != w.end()) {
    const size_t colon = (at + 1)->rfind(':');
    from = *Address::ParseLiteral((at + 1)->substr(0, colon),
                                  static_cast<uint16_t>(std::stoi((at + 1)->substr(colon + 1))));
  }
  if (w[3] == "echoes") {
    const auto& all = last_datagram_peer_->datagrams;
    const size_t which = has("to") ? std::stoul(w.back()) - 1 : all.size() - 1;
    if (!Check(line, which < all.size(), "no such request was sent")) return;
    network.Deliver(datagram.socket, from, EchoReplyTo(all[which]), {});
  } else if (w[3] == "says") {
    const int type = std::stoi(w[5]), code = std::stoi(w[6]);
    if (datagram.transport == Transport::kUdp) {
      network.DeliverError(datagram, ECONNREFUSED, type, code, {});
    } else {
      network.Deliver(datagram.socket, from, IcmpErrorAbout(datagram, type, code), {});
    }
  } else if (w[3] == "answers") {
    network.Deliver(datagram.socket, from, DnsAnswer(line, datagram), {});
  } else if (w[3] == "sends") {
    network.Deliver(datagram.socket, from, w[4], {});
  } else {
    Fail(line, "no such act");
  }
}

std::string Play::DnsAnswer(const Line& line, const SimDatagram& query) {
  const auto& w = line.words;
  const auto has = [&](const char* word) { return std::find(w.begin(), w.end(), word) != w.end(); };
  std::string answer = query.bytes;
  const auto put16 = [&](size_t at, int value) {
    answer[at] = static_cast<char>(value >> 8);
    answer[at + 1] = static_cast<char>(value);
  };
  int counts[3] = {};
  if (std::sscanf(w[5].c_str(), "%d/%d/%d", &counts[0], &counts[1], &counts[2]) != 3) {
    Fail(line, "counts are A/B/C");
  }
  put16(2, std::stoi(w[4], nullptr, 16));
  for (size_t i = 0; i < 3; ++i) put16(6 + 2 * i, counts[i]);
  if (has("wrong_id")) answer[0] = static_cast<char>(answer[0] ^ 0x55);
  if (has("wrong_question")) answer[13] = static_cast<char>(answer[13] ^ 1);
  return answer + w[6];
}

void Play::ExpectFact(const Line& line) {
  const std::string& name = line.words[2];
  const size_t brace = name.find('{');
  const std::string family = name.substr(0, brace);
  const std::string label =
      brace == std::string::npos ? "" : name.substr(brace + 1, name.size() - brace - 2);
  for (const FactInfo& info : Facts()) {
    if (info.family != family || info.label != label) continue;
    const auto value = world_->runs[run_].result.facts.Get(info.fact);
    const std::string is = value ? std::to_string(*value) : "absent";
    if (line.words[3] == "absent") {
      Check(line, !value, "it is " + is);
    } else if (line.words[3] == "present") {
      Check(line, value.has_value(), "it is absent");
    } else {
      const double want = std::stod(line.words[3]);
      Check(line, value && std::abs(*value - want) <= 1e-9 * std::max(1.0, std::abs(want)),
            "it is " + is);
    }
    return;
  }
  Fail(line, "no such fact");
}

void Play::ExpectText(const Line& line) {
  std::string seen;
  for (const Text& text : world_->runs[run_].texts) {
    if (TextFamilies()[static_cast<size_t>(text.family)].name != line.words[2]) continue;
    if (line.words[3] == "absent") {
      Fail(line, "it is there");
      return;
    }
    for (const auto& [label, value] : text.labels) {
      if (label == line.words[3] && value == line.words[4]) return;
      seen += label + "=" + value + " ";
    }
  }
  if (line.words[3] != "absent") Fail(line, "seen: " + seen);
}

void Play::ExpectRun(const Line& line) {
  const SimRun& run = world_->runs[run_];
  const std::string& what = line.words[1];
  if (what == "run") {  // the next lines are about it; the first run otherwise
    run_ = std::stoul(line.words[2]) - 1;
    while (world_->runs.size() <= run_ && world_->RunToNext(Hours(1))) {}
    if (!Check(line, run_ < world_->runs.size(), "there is none")) run_ = 0;
  } else if (what == "outcome") {
    Check(
        line, OutcomeName(run.result.outcome) == line.words[2],
        "it is " + std::string(OutcomeName(run.result.outcome)) + " (" + run.evidence.detail + ")");
  } else if (what == "duration") {
    const Duration want = Time(line, line.words[2]);
    Check(line, run.result.duration == want, "it is " + FormatDuration(run.result.duration));
  } else if (what == "fact") {
    ExpectFact(line);
  } else if (what == "text") {
    ExpectText(line);
  } else if (what == "detail") {
    Check(line, run.evidence.detail.find(line.words[2]) != std::string::npos,
          "it is: " + run.evidence.detail);
  } else if (what == "body") {
    Check(line, run.evidence.body.find(line.words[2]) != std::string::npos,
          "it is: " + run.evidence.body);
  } else if (what == "latency") {
    Check(line, run.result.latency_recorded == (line.words[2] == "recorded"), "it is not");
  } else if (what == "accepted") {  // connections, by all peers
    int accepted = 0;
    for (const auto& [where, peer] : peers_) accepted += peer->accepted;
    Check(line, std::to_string(accepted) == line.words[2], "it is " + std::to_string(accepted));
  } else if (what == "idle") {  // connections, in the end
    const uint64_t idle = world_->shard().Stats().connections_idle;
    Check(line, std::to_string(idle) == line.words[2], "it is " + std::to_string(idle));
  } else if (what == "retried") {  // runs over a connection that had ended
    const uint64_t retried = world_->shard().Stats().connections_retried;
    Check(line, std::to_string(retried) == line.words[2], "it is " + std::to_string(retried));
  } else if (what == "legs") {
    Check(line, std::to_string(run.result.legs) == line.words[2],
          "it is " + std::to_string(run.result.legs));
  } else {
    Fail(line, "no such expectation");
  }
}

std::string Play::Run(const std::string& path, Outcome* outcome) {
  Read(path);
  Load();
  if (!problems_.empty()) return problems_;
  SimWorld::Options options;
  options.wall = kTestNow;
  options.files = &files_;
  options.policy = policy_;
  world_ = std::make_unique<SimWorld>(options);
  world_->network().on_connect = [this](const Address& to) { connected_ = to.HostPort(); };
  for (const Line& line : stage_) Stage(line);
  const Task& first = *tasks_.front();
  const auto due = first.schedule.NextAfter(first.id, world_->wall());
  for (const auto& task : tasks_) world_->Add(task);
  const Instant zero = world_->ToInstant(*due);
  for (const Line& line : acts_) {
    world_->RunUntil(zero + Time(line, line.words[1]));
    Act(line);
    world_->RunUntil(world_->now());
  }
  if (world_->runs.empty()) world_->RunToNext(Hours(1));
  if (world_->runs.empty()) return problems_ + "no run finished\n";
  if (outcome) *outcome = world_->runs[0].result.outcome;
  for (const Line& line : expects_) ExpectRun(line);
  if (expects_.empty()) problems_ += "the play expects nothing\n";
  return problems_;
}

}  // namespace

std::string PlayFile(const std::string& path, Outcome* outcome) {
  return Play().Run(path, outcome);
}

}  // namespace sonde
