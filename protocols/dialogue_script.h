// What a dialogue goes by: the script, read from `query_response` (blackbox_contract 4.8) or taken
// from the presets. protocols/dialogue.h plays it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"
#include "protocols/regex.h"
#include "protocols/template_text.h"

namespace sonde {

// One entry: what is awaited, then what is said, then perhaps TLS.
struct DialogueEntry {
  struct Label {
    std::string name;
    TemplateText value;
  };

  std::unique_ptr<const Regex> expect;      // a line; lines that do not match are skipped
  std::unique_ptr<const Regex> expect_not;  // a line that would be skipped and matches this: failed
  std::string expect_until;                 // what ends a line here; empty: a line feed
  size_t expect_length = 0;    // so many bytes instead of a line, none are skipped; 0: a line
  std::string expect_bytes;    // exactly these bytes, next
  std::vector<Label> labels;   // of probe_expect_info, from the groups of `expect`
  std::string send;            // as it goes on the wire; empty: see send_template
  TemplateText send_template;  // with references; a line feed follows unless it is empty
  bool needs_groups = false;   // labels or send_template refer to groups
  bool starttls = false;
};

// Immutable after reading; shared by every shard.
struct DialogueScript {
  std::vector<DialogueEntry> entries;
  bool starttls = false;  // some entry asks for it

  // A script, a line with its end, and a label value may be this large.
  static constexpr size_t kMaxEntries = 1000;
  static constexpr size_t kLineLimit = 64 * 1024;  // as in blackbox_exporter
  static constexpr size_t kMaxLabelValue = 1024;

  // Reads `query_response` or `preset` of `in`; without either it is the empty script. `tls` says
  // that the stream is TLS from the start: then `starttls` is an error, and so are two of them.
  // `preset`, `send_bytes` (like `send`, but nothing is added and nothing expanded), `expect_not`,
  // `expect_until` and `expect_length` are sonde's own.
  static void Read(ConfigReader& in, bool tls, DialogueScript* out);
};

}  // namespace sonde
