#include "proxy/telemetry/otlp_json.hpp"

#include "proxy/events/hex_digits.hpp"
#include "proxy/telemetry/json_text.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace evenkeel::telemetry {

namespace {
using namespace std::string_view_literals;

// The lowest eight bits of a span's flags are the trace's; these say whether its parent is of another process.
constexpr unsigned remote_known = 0x100, is_remote = 0x200;

void append_hex(std::string& to, std::uint64_t number) {
    char digits[hex_digits];
    write_hex(digits, number);
    to.append(digits, hex_digits);
}

template <class Number>
void append_number(std::string& to, Number number) {
    const fmt::format_int text(number);
    to.append(text.data(), text.size());
}

// All of them with one look for room.
template <class... Pieces>
void append_all(std::string& to, const Pieces&... pieces) {
    const std::size_t before = to.size();
    to.resize(before + (pieces.size() + ...));
    char* at = to.data() + before;
    ((std::memcpy(at, pieces.data(), pieces.size()), at += pieces.size()), ...);
}

// `name`: of ours, or escaped. `type`: of the value, with all up to it.
void append_pair(std::string& to, std::string_view name, std::string_view type, std::string_view text,
                 std::string_view end) {
    append_all(to, to.back() == '[' ? R"({"key":")"sv : R"(,{"key":")"sv, name, R"(","value":{)"sv, type, text, end);
}
void append_pair(std::string& to, std::string_view name, std::string_view text) {
    if (is_plain(text)) return append_pair(to, name, R"("stringValue":")"sv, text, R"("}})"sv);
    append_pair(to, name, R"("stringValue":)"sv, ""sv, ""sv);
    append_quoted(to, text);
    to += "}}"sv;
}
void append_pair(std::string& to, std::string_view name, bool truth) {
    append_pair(to, name, R"("boolValue":)"sv, truth ? "true"sv : "false"sv, "}}"sv);
}
void append_pair(std::string& to, std::string_view name, std::int64_t number) {
    const fmt::format_int text(number);
    append_pair(to, name, R"("intValue":")"sv, {text.data(), text.size()}, R"("}})"sv);
}
void append_pair(std::string& to, std::string_view name, double number) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), std::isfinite(number) ? number : 0.0).ptr;
    append_pair(to, name, R"("doubleValue":)"sv, {text.data(), static_cast<std::size_t>(end - text.data())}, "}}"sv);
}

std::string escaped(std::string_view name) {
    std::string out;
    append_quoted(out, name);
    return out.substr(1, out.size() - 2);
}

void append_attributes(std::string& to, const attributes& all) {
    if (all.empty()) return;
    to += R"(,"attributes":[)"sv;
    for (const attribute& one : all)
        std::visit([&](const auto& value) { append_pair(to, one.name, value); }, one.value);
    to += ']';
}

void append_ids(std::string& to, std::uint64_t high, std::uint64_t low, std::uint64_t id) {
    to += R"({"traceId":")"sv;
    append_hex(to, high);
    append_hex(to, low);
    to += R"(","spanId":")"sv;
    append_hex(to, id);
    to += '"';
}

void append_span(std::string& to, const span& one, const trace_context& in) {
    append_ids(to, in.trace_high, in.trace_low, one.id);
    if (one.parent != 0) {
        to += R"(,"parentSpanId":")"sv;
        append_hex(to, one.parent);
        to += '"';
    }
    to += R"(,"flags":)"sv;
    append_number(to, in.flags | remote_known | (one.parent_remote ? is_remote : 0));
    to += R"(,"name":)"sv;
    append_quoted(to, one.name);
    to += R"(,"kind":)"sv;
    append_number(to, static_cast<int>(one.is));
    to += R"(,"startTimeUnixNano":")"sv;
    append_number(to, one.begin);
    to += R"(","endTimeUnixNano":")"sv;
    append_number(to, one.end);
    to += '"';
    append_attributes(to, one.with);
    if (!one.events.empty()) {
        to += R"(,"events":[)";
        for (const span_event& each : one.events) {
            if (to.back() != '[') to += ',';
            to += R"({"timeUnixNano":")"sv;
            append_number(to, each.at);
            to += R"(","name":)"sv;
            append_quoted(to, each.name);
            append_attributes(to, each.with);
            to += '}';
        }
        to += ']';
    }
    if (!one.links.empty()) {
        to += R"(,"links":[)";
        for (const span_link& each : one.links) {
            if (to.back() != '[') to += ',';
            append_ids(to, each.to.trace_high, each.to.trace_low, each.to.span);
            append_attributes(to, each.with);
            to += '}';
        }
        to += ']';
    }
    if (one.ended == span::status::error) to += R"(,"status":{"code":2})"sv;
    to += '}';
}
} // namespace

otlp_batch::otlp_batch(const config::tracing_options& how, std::string_view version, std::string_view instance)
    : names_(how.semconv), text_(R"({"resourceSpans":[{"resource":{"attributes":[)") {
    append_pair(text_, "service.name", std::string_view{how.service_name});
    for (const auto& [name, value] : how.resource)
        if (name != "service.name") append_pair(text_, escaped(name), std::string_view{value});
    const auto said = [&](std::string_view wanted) {
        for (const auto& [name, value] : how.resource)
            if (name == wanted) return true;
        return false;
    };
    if (!said("service.version")) append_pair(text_, "service.version", version);
    if (!said("service.instance.id")) append_pair(text_, "service.instance.id", instance);
    text_ += R"(]},"scopeSpans":[{"scope":{"name":"evenkeel","version":)";
    append_quoted(text_, version);
    text_ += R"(},"spans":[)";
}

void otlp_batch::add(const traced_request& of) {
    for (const span& one : spans_of(of, names_)) {
        if (spans_++ > 0) text_ += ',';
        append_span(text_, one, of.trace);
    }
}

std::string otlp_batch::finish() && {
    text_ += "]}]}]}";
    return std::move(text_);
}

std::uint64_t rejected_spans(std::string_view answer) {
    boost::json::error_code failed;
    const boost::json::value read = boost::json::parse(answer, failed);
    if (failed || !read.is_object()) return 0;
    const auto* const partial = read.as_object().if_contains("partialSuccess");
    if (partial == nullptr || !partial->is_object()) return 0;
    const auto* const count = partial->as_object().if_contains("rejectedSpans");
    if (count == nullptr) return 0;
    if (const auto* number = count->if_int64(); number != nullptr && *number > 0)
        return static_cast<std::uint64_t>(*number);
    const auto* const text = count->if_string();
    std::uint64_t out = 0;
    if (text == nullptr || text->size() > 18) return 0;
    for (const char c : *text) {
        if (c < '0' || c > '9') return 0;
        out = out * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return out;
}

} // namespace evenkeel::telemetry
