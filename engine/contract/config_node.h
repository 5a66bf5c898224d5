// Configuration as a tree that remembers where each value stood. The strict YAML decoder and the
// JSON reader make these; protocols and the task loader read them. Values are views into storage
// owned by whoever decoded the text: never keep one beyond the load.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/contract/instant.h"

namespace sonde {

struct Mark {
  uint32_t line = 0;    // from 1; 0 = no place in a file (JSON, a database row)
  uint32_t column = 0;  // from 1, in bytes
};

struct ConfigEntry;

struct ConfigNode {
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  bool quoted = false;  // a quoted or block scalar: never a number, bool or null
  Mark mark;
  std::string_view text;                 // kScalar; !!binary is already decoded
  std::span<const ConfigNode> items;     // kSequence
  std::span<const ConfigEntry> entries;  // kMapping, in file order, keys unique

  const ConfigNode* Find(std::string_view key) const;  // kMapping; nullptr when absent
};

struct ConfigEntry {
  std::string_view key;
  Mark mark;  // of the key
  ConfigNode value;
};

// Everything wrong with one text, in the order found; nothing stops at the first.
struct Diagnostic {
  bool is_error = true;  // false: a warning
  Mark mark;
  std::string file;     // "" for the one ToString names
  std::string path;     // "tasks[3].http.headers"
  std::string message;  // "unknown key 'intervall' (did you mean 'interval'?)"
};

class Diagnostics {
 public:
  void Error(Mark mark, std::string_view path, std::string message);
  void Warn(Mark mark, std::string_view path, std::string message);

  // What is found from here on stands in this file; "" is the one ToString names.
  void SetFile(std::string_view file) { file_ = file; }

  bool ok() const { return errors_ == 0; }
  size_t errors() const { return errors_; }
  const std::vector<Diagnostic>& all() const { return all_; }
  // "FILE:LINE:COLUMN: PATH: MESSAGE", one a line; parts that are absent are left out.
  std::string ToString(std::string_view file) const;

  // At most this many are kept (all are counted), so that a hostile file cannot fill memory.
  static constexpr size_t kKept = 1000;

 private:
  void Keep(bool is_error, Mark mark, std::string_view path, std::string message);

  std::string file_;
  std::vector<Diagnostic> all_;
  size_t errors_ = 0;
};

// Reads one mapping field by field and reports what is of the wrong type, out of range, or was not
// asked for. A reader's out-parameters keep their value when the key is absent or bad.
//   ConfigReader in(node, "tasks[3].http", diagnostics);
//   in.String("method", &options.method);
//   in.Finish();                                  // unknown keys are errors here
// Null values count as absent (blackbox_exporter's rule for blocks).
class ConfigReader {
 public:
  // `node` may be null or of kind kNull: then every field is absent. A non-mapping is an error.
  ConfigReader(const ConfigNode* node, std::string path, Diagnostics& diagnostics);

  bool Has(std::string_view key);                    // present and not null; marks the key as known
  const ConfigNode* Node(std::string_view key);      // nullptr when absent or null
  const ConfigNode* Mapping(std::string_view key);   // the same, must be a mapping
  const ConfigNode* Sequence(std::string_view key);  // the same, must be a sequence

  // Typing as in blackbox_exporter (strings: any scalar; bools: YAML 1.1 words, unquoted; ints:
  // unquoted). Each returns true when the key was present and good.
  bool String(std::string_view key, std::string* out);
  bool Bool(std::string_view key, bool* out);
  bool Int(std::string_view key, int64_t* out, int64_t least, int64_t most);
  bool Number(std::string_view key, double* out, double least, double most);
  bool StringList(std::string_view key, std::vector<std::string>* out);
  bool StringMap(std::string_view key, std::vector<std::pair<std::string, std::string>>* out);
  // Go duration text ("300ms", "1m30s"). `days` also accepts d and w.
  bool Time(std::string_view key, Duration* out, bool days = false);
  // "10KB", "1.5MiB": powers of 1024, case-sensitive; 0 = none (blackbox_contract 4.2).
  bool Size(std::string_view key, int64_t* out);

  // Reports keys that were never asked for, with a suggestion when one is near.
  void Finish();

  void Error(std::string_view key, std::string message);  // at the key's place
  void Warn(std::string_view key, std::string message);
  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view key) const;
  Diagnostics& diagnostics() { return diagnostics_; }

 private:
  const ConfigEntry* Entry(std::string_view key);

  const ConfigNode* node_;
  std::string path_;
  Diagnostics& diagnostics_;
  std::vector<std::string_view> known_;
};

}  // namespace sonde
