#include "protocols/http_answer.h"

#include <algorithm>

#include "engine/contract/probe_result.h"

namespace sonde {

void HttpAnswer::BeginHead() {
  if (!shown_) shown_ = buffers_.Take();
  shown_.Clear();
  head_shown_ = 0;
  fields.Clear();
}

bool HttpAnswer::AddHead(std::string_view shown, size_t counted) {
  const size_t room = std::min(shown.size(), Evidence::kHeadLimit - head_shown_);
  if (room > 0) shown_.Append(shown.substr(0, room));
  head_shown_ = static_cast<uint16_t>(head_shown_ + room);
  head_bytes_ += counted;  // one read beyond the limit at most
  return head_bytes_ <= module_.header_size_limit;
}

bool HttpAnswer::AddBody(Bytes raw) { return body.Take(raw, buffers_, &shown_); }

}  // namespace sonde
