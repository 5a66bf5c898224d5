// Frames of HTTP/2 by hand (RFC 9113, RFC 7541): what good and bad servers say, and what a client
// said.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sonde::http2 {

using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8;

inline std::string Number(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

// `length` is what the header claims; by default the truth.
inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream,
                         std::string_view payload = "", int64_t length = -1) {
  std::string text = Number(length < 0 ? payload.size() : static_cast<uint64_t>(length), 3);
  text += static_cast<char>(type);
  text += static_cast<char>(flags);
  return text + Number(stream, 4) + std::string(payload);
}

inline std::string Setting(uint16_t name, uint32_t value) {
  return Number(name, 2) + Number(value, 4);
}
inline std::string Settings(std::string_view settings = "") {
  return Frame(NGHTTP2_SETTINGS, 0, 0, settings);
}
inline std::string Ping() { return Frame(NGHTTP2_PING, 0, 0, "12345678"); }
inline std::string Reset(uint32_t code, uint32_t stream = 1) {
  return Frame(NGHTTP2_RST_STREAM, 0, stream, Number(code, 4));
}
inline std::string GoAway(uint32_t last, uint32_t code, std::string_view text = "") {
  return Frame(NGHTTP2_GOAWAY, 0, 0, Number(last, 4) + Number(code, 4) + std::string(text));
}
inline std::string WindowUpdate(uint32_t stream, uint32_t by) {
  return Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(by, 4));
}

// RFC 7541 section 5.2, without Huffman codes: the length of a text, and all of it.
inline std::string Length(size_t rest) {
  std::string out;
  if (rest < 127) {
    out += static_cast<char>(rest);
  } else {
    out += '\x7f';
    for (rest -= 127; rest >= 128; rest >>= 7) out += static_cast<char>((rest & 127) | 128);
    out += static_cast<char>(rest);
  }
  return out;
}
inline std::string Word(std::string_view text) { return Length(text.size()).append(text); }
// Section 6.2.2: literal, not indexed, a new name. Section 6.2.1 with `index`.
inline std::string Block(const Fields& fields, bool index = false) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += index ? '\x40' : '\0';
    out += Word(name) + Word(value);
  }
  return out;
}

inline std::string Headers(const Fields& fields, uint8_t flags = 0) {
  return Frame(NGHTTP2_HEADERS, static_cast<uint8_t>(kEndHeaders | flags), 1, Block(fields));
}
inline std::string Data(std::string_view text, uint8_t flags = kEndStream) {
  return Frame(NGHTTP2_DATA, flags, 1, text);
}
// A whole answer, as a server begins it.
inline std::string Answer(std::string_view status, Fields fields, std::string_view body) {
  fields.insert(fields.begin(), {":status", std::string(status)});
  return Settings() + Frame(NGHTTP2_SETTINGS, kAck, 0) +
         Headers(fields, body.empty() ? kEndStream : 0) + (body.empty() ? "" : Data(body));
}

// What a client sent.
struct Said {
  bool preface = false;
  std::vector<std::pair<uint16_t, uint32_t>> settings;
  Fields fields;  // of the one request
  std::string body;
  bool ended = false;
  size_t acks = 0, pings = 0;  // of SETTINGS; answered
};

inline Said Understand(std::string_view bytes) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  Said said;
  said.preface = bytes.substr(0, kPreface.size()) == kPreface;
  if (said.preface) bytes.remove_prefix(kPreface.size());
  nghttp2_hd_inflater* inflater = nullptr;
  if (nghttp2_hd_inflate_new(&inflater) != 0) std::abort();
  const auto byte = [&](size_t i) { return size_t{static_cast<uint8_t>(bytes[i])}; };
  while (bytes.size() >= 9) {
    const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    const auto type = byte(3), flags = byte(4);
    if (bytes.size() < 9 + size) std::abort();
    std::string_view payload = bytes.substr(9, size);
    bytes.remove_prefix(9 + size);
    if (type == NGHTTP2_SETTINGS && (flags & kAck)) ++said.acks;
    if (type == NGHTTP2_PING && (flags & kAck)) ++said.pings;
    if (type == NGHTTP2_SETTINGS) {
      for (; payload.size() >= 6; payload.remove_prefix(6)) {
        uint64_t number = 0;
        for (size_t i = 0; i < 6; ++i) number = number << 8 | static_cast<uint8_t>(payload[i]);
        said.settings.emplace_back(number >> 32, static_cast<uint32_t>(number));
      }
    }
    if (type == NGHTTP2_DATA) said.body.append(payload);
    const bool ends = type == NGHTTP2_DATA || type == NGHTTP2_HEADERS;
    if (ends && (flags & kEndStream)) said.ended = true;
    while (type == NGHTTP2_HEADERS) {
      nghttp2_nv field;
      int found = 0;
      const ssize_t read = nghttp2_hd_inflate_hd2(inflater, &field, &found,
                                                  reinterpret_cast<const uint8_t*>(payload.data()),
                                                  payload.size(), 1);
      if (read < 0) std::abort();
      payload.remove_prefix(static_cast<size_t>(read));
      if (found & NGHTTP2_HD_INFLATE_EMIT) {
        said.fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                                 std::string(reinterpret_cast<char*>(field.value), field.valuelen));
      }
      if (found & NGHTTP2_HD_INFLATE_FINAL) break;
    }
  }
  nghttp2_hd_inflate_del(inflater);
  return said;
}

}  // namespace sonde::http2
