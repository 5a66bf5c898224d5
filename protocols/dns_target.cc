// A task's own part: the server it asks, its question, its `expect`.
#include <utility>

#include "engine/contract/scalar_text.h"
#include "protocols/dns_options.h"
#include "protocols/dns_query.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

// "tasks[3]" and "target" -> "tasks[3].target".
std::string Below(const std::string& path, const char* key) {
  return path.empty() ? key : path + "." + key;
}

// A text or a list of texts.
std::vector<std::string> ReadTexts(ConfigReader& in, std::string_view key) {
  std::vector<std::string> texts;
  const ConfigNode* node = in.Node(key);
  if (!node) return texts;
  if (node->kind == ConfigNode::Kind::kSequence) {
    in.StringList(key, &texts);
  } else {
    std::string one;
    if (in.String(key, &one)) texts.push_back(std::move(one));
  }
  return texts;
}

void ReadExpect(const ConfigNode* node, const std::string& path, Diagnostics& diagnostics,
                DnsExpect* out) {
  ConfigReader in(node, path, diagnostics);
  for (const std::string& name : ReadTexts(in, "rcode")) {
    if (const auto rcode = FindDnsRcode(name)) {
      out->rcodes.push_back(*rcode);
    } else {
      in.Error("rcode", "there is no response code " + Quote(name));
    }
  }
  if (in.Has("rcode") && in.Node("rcode")->kind == ConfigNode::Kind::kSequence &&
      in.Node("rcode")->items.empty()) {
    in.Error("rcode", "no response code is listed");
  }
  out->answer_contains = ReadTexts(in, "answer_contains");
  if (out->answer_contains.size() > DnsExpect::kMaxTexts) {
    in.Error("answer_contains", "at most 64 texts can be looked for");
  }
  int64_t count = 0;
  if (in.Int("min_answers", &count, 0, 65535)) out->min_answers = static_cast<uint32_t>(count);
  in.Finish();
}

class TargetReader {
 public:
  TargetReader(std::string_view target, const DnsModule& module, DnsTarget* out)
      : target_(target), module_(module), out_(*out) {}

  // False: error() says what is wrong with the target.
  bool Read() {
    // A named module without a `dns` block is blackbox_exporter's: the root, ANY.
    const bool blackbox_default = !module_.has_block && !module_.name.empty();
    asks_target_ = !module_.query_name.empty() || blackbox_default;
    type_ = module_.query_type != 0 ? module_.query_type
            : asks_target_          ? kDnsTypeAny
                                    : FindDnsType("A")->number;
    return ReadServer() && ReadName();
  }
  const std::string& error() const { return error_; }

 private:
  bool ReadServer() {
    out_.server = asks_target_ ? DnsModule::Server::kTarget : module_.server;
    switch (out_.server) {
      case DnsModule::Server::kTarget:
        if (!ParseDnsServer(target_, module_.port(), &out_.address, &error_)) return false;
        break;
      case DnsModule::Server::kNamed:
        out_.address = module_.server_address;
        break;
      case DnsModule::Server::kSystem:
        out_.address.port = module_.port();
        break;
    }
    const bool system = out_.server == DnsModule::Server::kSystem;
    out_.destination = DestinationOf(system ? "resolv.conf" : out_.address.host, out_.address.port);
    return true;
  }

  bool ReadName() {
    std::string name = asks_target_ ? module_.query_name : std::string(target_);
    if (!asks_target_ && !IsName(&name)) return false;
    std::string wire;
    if (!ParseDnsName(name, &wire, &error_)) {
      error_ = Quote(name) + " is not a name: " + error_;
      return false;
    }
    const uint16_t klass = module_.query_class != 0 ? module_.query_class : kDnsClassIn;
    out_.question = DnsQuestion(wire, type_, klass);
    out_.asks_serial = type_ == kDnsTypeSoa;
    out_.query = DnsQueryAfterId({.question = out_.question,
                                  .recursion_desired = module_.recursion_desired,
                                  .edns_size = module_.edns_size,
                                  .dnssec_ok = module_.dnssec_ok});
    return true;
  }

  // A server where a name belongs is the likeliest mistake.
  bool IsName(std::string* name) {
    const auto address = Address::ParseLiteral(target_);
    if (address && type_ == kDnsTypePtr) {
      *name = ReverseDnsName(*address);
      return true;
    }
    HostPort parts;
    std::string unused;
    if (!address && !ParseHostPort(target_, &parts, &unused)) return true;
    error_ = Quote(target_) +
             " is a server, and the target is the name to ask for: name the server as `server`, or "
             "give a query_name, and the target is the server";
    return false;
  }

  const std::string_view target_;
  const DnsModule& module_;
  DnsTarget& out_;
  bool asks_target_ = false;  // blackbox_exporter's form
  uint16_t type_ = 0;
  std::string error_;
};

}  // namespace

std::shared_ptr<DnsTarget> ParseDnsTarget(std::string_view target, Mark mark,
                                          const ConfigNode* expect, const DnsModule& module,
                                          const std::string& path, Diagnostics& diagnostics) {
  const size_t errors = diagnostics.errors();
  auto plan = std::make_shared<DnsTarget>();
  TargetReader reader(target, module, plan.get());
  if (!reader.Read()) diagnostics.Error(mark, Below(path, "target"), reader.error());
  ReadExpect(expect, Below(path, "expect"), diagnostics, &plan->expect);
  const bool tcp = module.transport == DnsModule::Transport::kTcp;
  plan->needs_handshake = tcp && module.tls;
  plan->needs_descriptor = tcp;
  return diagnostics.errors() == errors ? plan : nullptr;
}

}  // namespace sonde
