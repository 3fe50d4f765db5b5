#include "proxy/fan_out/parts_answer.hpp"

#include "proxy/wire/json_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace evenkeel::request {

namespace {

using all_parts = std::span<const part_answer* const>;

void append_string(std::string& out, std::string_view text) {
    out += '"';
    wire::append_json_escaped(out, text);
    out += '"';
}

// Line ends stand in JSON between its tokens only, where a blank means the same.
void append_json(std::string& out, std::string_view json, bool one_line) {
    const std::size_t from = out.size();
    out += json;
    if (one_line)
        std::replace_if(
            out.begin() + static_cast<std::ptrdiff_t>(from), out.end(), [](char c) { return c == '\n' || c == '\r'; },
            ' ');
}

void append_members(std::string& out, const part_answer& part, bool one_line) {
    fmt::format_to(std::back_inserter(out), R"("status":{},"source":"{}")", part.status, part.source);
    const bool json = wire::is_json(part.body);
    if (!json && !part.body.empty() && !part.content_type.empty()) {
        out += R"(,"content_type":)";
        append_string(out, part.content_type);
    }
    out += R"(,"body":)";
    if (part.body.empty()) {
        out += "null";
    } else if (json) {
        append_json(out, part.body, one_line);
    } else {
        append_string(out, part.body);
    }
}

void append_verdict(std::string& out, parts_verdict verdict) {
    fmt::format_to(std::back_inserter(out), R"("status":"{}")", to_string(verdict));
}

void append_missing(std::string& out, all_parts parts) {
    out += R"("missing":[)";
    bool first = true;
    for (const part_answer* one : parts) {
        if (one->good) continue;
        if (!first) out += ',';
        first = false;
        append_string(out, one->name);
    }
    out += ']';
}

std::string missing_names(all_parts parts) {
    std::string names;
    for (const part_answer* one : parts) {
        if (!one->good) names.append(names.empty() ? "" : ",").append(one->name);
    }
    return names;
}

} // namespace

std::string_view to_string(parts_verdict verdict) noexcept {
    switch (verdict) {
    case parts_verdict::complete: return "complete";
    case parts_verdict::partial: return "partial";
    case parts_verdict::failed: return "failed";
    }
    return "failed";
}

parts_verdict verdict_on(all_parts parts, int min_success) noexcept {
    const auto good = std::count_if(parts.begin(), parts.end(), [](const part_answer* one) { return one->good; });
    if (good < min_success) return parts_verdict::failed;
    return static_cast<std::size_t>(good) == parts.size() ? parts_verdict::complete : parts_verdict::partial;
}

std::string parts_document(all_parts parts, parts_verdict verdict) {
    std::size_t size = 128;
    for (const part_answer* one : parts) size += one->body.size() + 192;
    std::string out;
    out.reserve(size);
    out += '{';
    append_verdict(out, verdict);
    out += R"(,"parts":{)";
    bool first = true;
    for (const part_answer* one : parts) {
        if (!first) out += ',';
        first = false;
        append_string(out, one->name);
        out += ":{";
        append_members(out, *one, false);
        out += '}';
    }
    out += "},";
    append_missing(out, parts);
    out += '}';
    return out;
}

std::string part_event(const part_answer& part) {
    std::string out;
    out.reserve(part.body.size() + 256);
    out += "event: part\ndata: {\"part\":";
    append_string(out, part.name);
    out += ',';
    append_members(out, part, true);
    out += "}\n\n";
    return out;
}

std::string complete_event(all_parts parts, parts_verdict verdict) {
    std::string out = "event: complete\ndata: {";
    append_verdict(out, verdict);
    out += ',';
    append_missing(out, parts);
    out += "}\n\n";
    return out;
}

std::string degraded_label(all_parts parts, parts_verdict verdict) {
    std::string out;
    if (verdict == parts_verdict::partial) {
        const std::string names = missing_names(parts);
        const bool several = names.find(',') != std::string::npos;
        out = several ? fmt::format("partial; missing=\"{}\"", names) : "partial; missing=" + names;
    }
    for (const part_answer* one : parts) {
        if (one->source == "live") continue;
        out += fmt::format("{}{}; part={}", out.empty() ? "" : ", ", one->source, one->name);
    }
    return out;
}

std::string proxy_status_of(all_parts parts) {
    const auto told = std::find_if(parts.begin(), parts.end(),
                                   [](const part_answer* one) { return !one->good && !one->proxy_error.empty(); });
    std::string out = "evenkeel";
    if (told != parts.end()) out += fmt::format("; error={}", (*told)->proxy_error);
    return out + fmt::format("; details=\"without an answer: {}\"", missing_names(parts));
}

std::string parts_log_text(all_parts parts) {
    std::string out = "{";
    for (const part_answer* one : parts) {
        if (out.size() > 1) out += ',';
        append_string(out, one->name);
        fmt::format_to(std::back_inserter(out), R"(:{{"status":{},"outcome":"{}","source":"{}","attempts":{})",
                       one->status, telemetry::to_string(telemetry::ending_of(one->outcome, one->service)), one->source,
                       one->attempts);
        if (!one->upstream.empty()) {
            out += R"(,"upstream":)";
            append_string(out, one->upstream);
        }
        if (!one->tries.empty()) out.append(R"(,"tries":)").append(one->tries);
        fmt::format_to(std::back_inserter(out), R"(,"duration_s":{:.6f}}})",
                       std::chrono::duration<double>(one->took).count());
    }
    return out += '}';
}

} // namespace evenkeel::request
