#include "exporter/http_message.h"

#include "exporter/http_text.h"

namespace sonde {
namespace {

// Calls visit(raw name, raw value) for each parameter until it returns false.
template <typename Visit>
void VisitParameters(std::string_view query, Visit visit) {
  while (!query.empty()) {
    const size_t amp = query.find('&');
    const std::string_view pair = query.substr(0, amp);
    query = amp == std::string_view::npos ? std::string_view() : query.substr(amp + 1);
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    if (!visit(pair.substr(0, equals), value)) return;
  }
}

}  // namespace

std::optional<std::string_view> HttpRequest::FindHeader(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (EqualsIgnoringCase(header.name, name)) return header.value;
  }
  return std::nullopt;
}

std::string_view HttpRequest::Header(std::string_view name) const {
  return FindHeader(name).value_or(std::string_view());
}

std::string HttpRequest::HeaderList(std::string_view name) const {
  std::string joined;
  for (const HttpHeader& header : headers) {
    if (!EqualsIgnoringCase(header.name, name)) continue;
    if (!joined.empty()) joined += ", ";
    joined += header.value;
  }
  return joined;
}

std::optional<std::string> HttpRequest::QueryParam(std::string_view name) const {
  std::optional<std::string> found;
  VisitParameters(query, [&](std::string_view raw_name, std::string_view raw_value) {
    if (FormDecode(raw_name) == name) found = FormDecode(raw_value);
    return !found.has_value();
  });
  return found;
}

std::vector<std::string> HttpRequest::QueryParams(std::string_view name) const {
  std::vector<std::string> found;
  VisitParameters(query, [&](std::string_view raw_name, std::string_view raw_value) {
    if (FormDecode(raw_name) == name) found.push_back(FormDecode(raw_value));
    return true;
  });
  return found;
}

std::string_view HttpRequest::Capture(std::string_view name) const {
  for (const HttpHeader& capture : captures) {
    if (capture.name == name) return capture.value;
  }
  return {};
}

HttpResponse HttpResponse::Text(int status, std::string_view text) {
  HttpResponse response;
  response.status = status;
  response.body = std::string(text);
  return response;
}

HttpResponse HttpResponse::Html(std::string_view html) {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = std::string(html);
  return response;
}

HttpResponse HttpResponse::Stream(std::string_view content_type,
                                  std::unique_ptr<BodySource> source) {
  HttpResponse response;
  response.content_type = std::string(content_type);
  response.source = std::move(source);
  return response;
}

ResponseHandle& ResponseHandle::operator=(ResponseHandle&& other) noexcept {
  std::swap(exchange_, other.exchange_);
  return *this;
}

ResponseHandle::~ResponseHandle() {
  if (exchange_) Send(HttpResponse::Text(500, "the request was dropped without an answer\n"));
}

void ResponseHandle::Send(HttpResponse response) {
  if (!exchange_) return;
  const std::shared_ptr<HttpExchange> exchange = std::move(exchange_);
  exchange->Send(std::move(response));
}

}  // namespace sonde
