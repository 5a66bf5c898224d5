#include "protocols/dialogue_script.h"

#include <utility>

#include "engine/contract/label_name.h"
#include "protocols/dialogue_presets.h"

namespace sonde {
namespace {

void ReadLabels(ConfigReader& in, DialogueEntry* entry) {
  const ConfigNode* list = in.Sequence("labels");
  if (!list) return;
  for (size_t i = 0; i < list->items.size(); ++i) {
    ConfigReader label(&list->items[i], in.PathOf("labels") + "[" + std::to_string(i) + "]",
                       in.diagnostics());
    std::string name, value, error;
    label.String("name", &name);
    label.String("value", &value);
    label.Finish();
    // Clashes with the labels of a series are the exporter's: it knows the task's.
    if (!IsLegalLabelName(name) || name.compare(0, 2, "__") == 0) {
      label.Error("name", "'" + name + "' is not a label name");
      continue;
    }
    if (!entry->expect) continue;  // without `expect` there is nothing to take a value from
    DialogueEntry::Label read{std::move(name), {}};
    if (!TemplateText::Parse(value, *entry->expect, &read.value, &error)) {
      label.Error("value", error);
    }
    entry->labels.push_back(std::move(read));
  }
  if (!entry->expect && !list->items.empty()) {
    in.Warn("labels", "labels without expect have no effect");
  }
}

// `send`: the text and one line feed, always; expanded when the entry has an `expect`.
void ReadSend(ConfigReader& in, DialogueEntry* entry) {
  std::string text, raw, error;
  in.String("send", &text);
  in.String("send_bytes", &raw);
  if (!text.empty() && !raw.empty()) {
    in.Error("send_bytes", "at most one of send and send_bytes must be configured");
    return;
  }
  if (!raw.empty()) {
    entry->send = std::move(raw);
  } else if (!text.empty() && entry->expect) {
    if (!TemplateText::Parse(text, *entry->expect, &entry->send_template, &error)) {
      in.Error("send", error);
      return;
    }
    const std::string* constant = entry->send_template.constant();
    if (constant && !constant->empty()) entry->send = *constant + "\n";
  } else if (!text.empty()) {
    entry->send = text + "\n";
  }
}

// False when the key is absent or the pattern bad.
bool ReadPattern(ConfigReader& in, std::string_view key, std::unique_ptr<const Regex>* out) {
  std::string pattern, error;
  if (!in.String(key, &pattern)) return false;
  *out = Regex::Compile(pattern, &error);
  if (!*out) in.Error(key, error);
  return *out != nullptr;
}

// What `expect` is about when it is not a line as usual.
void ReadVariants(ConfigReader& in, bool has_expect, DialogueEntry* entry) {
  for (const std::string_view key : {"expect_not", "expect_until", "expect_length"}) {
    if (in.Has(key) && !has_expect) in.Error(key, std::string(key) + " goes with expect only");
  }
  ReadPattern(in, "expect_not", &entry->expect_not);
  if (in.String("expect_until", &entry->expect_until) &&
      (entry->expect_until.empty() || entry->expect_until.size() >= DialogueScript::kLineLimit)) {
    in.Error("expect_until", "must be a text of at least one byte and below 64 KiB");
  }
  int64_t length = 0;
  if (!in.Int("expect_length", &length, 1, DialogueScript::kLineLimit)) return;
  entry->expect_length = static_cast<size_t>(length);
  for (const std::string_view key : {"expect_not", "expect_until"}) {
    if (in.Has(key)) in.Error(key, "has no meaning with expect_length: nothing is skipped there");
  }
}

DialogueEntry ReadEntry(ConfigReader& in) {
  DialogueEntry entry;
  ReadPattern(in, "expect", &entry.expect);
  ReadVariants(in, in.Has("expect"), &entry);
  in.String("expect_bytes", &entry.expect_bytes);
  if (entry.expect && !entry.expect_bytes.empty()) {
    in.Error("expect_bytes", "query response has both expect and expect_bytes set");
  }
  ReadLabels(in, &entry);
  ReadSend(in, &entry);
  in.Bool("starttls", &entry.starttls);
  in.Finish();
  entry.needs_groups = !entry.labels.empty() || !entry.send_template.constant();
  return entry;
}

void ReadEntries(ConfigReader& in, bool tls, DialogueScript* out) {
  constexpr std::string_view kKey = "query_response";
  const ConfigNode* list = in.Sequence(kKey);
  if (!list) return;
  if (list->items.size() > DialogueScript::kMaxEntries) {
    in.Error(kKey,
             "at most " + std::to_string(DialogueScript::kMaxEntries) + " entries are possible");
    return;
  }
  for (size_t i = 0; i < list->items.size(); ++i) {
    ConfigReader reader(&list->items[i], in.PathOf(kKey) + "[" + std::to_string(i) + "]",
                        in.diagnostics());
    out->entries.push_back(ReadEntry(reader));
    if (!out->entries.back().starttls) continue;
    if (tls) reader.Error("starttls", "starttls is not possible with tls: true");
    if (out->starttls) reader.Error("starttls", "a dialogue can start TLS once only");
    out->starttls = true;
  }
}

void ReadPreset(ConfigReader& in, bool tls, DialogueScript* out) {
  std::string name;
  if (!in.String("preset", &name)) return;
  if (in.Has("query_response")) {
    in.Error("preset", "a dialogue is a preset or a query_response, not both");
    return;
  }
  const DialoguePreset* preset = FindDialoguePreset(name);
  if (!preset) {
    in.Error("preset", UnknownPreset(name));
    return;
  }
  *out = preset->Script();
  if (tls && out->starttls) in.Error("preset", "starttls is not possible with tls: true");
}

}  // namespace

void DialogueScript::Read(ConfigReader& in, bool tls, DialogueScript* out) {
  ReadEntries(in, tls, out);
  ReadPreset(in, tls, out);
}

}  // namespace sonde
