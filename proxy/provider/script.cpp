#include "proxy/provider/script.hpp"

#include "proxy/provider/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <numbers>

namespace evenkeel::provider {

namespace {

[[noreturn]] void fail(std::string_view setting, std::string_view why) {
    throw script_error("script: `" + std::string{setting} + "`: " + std::string{why});
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> out;
    for (;;) {
        const auto at = text.find(separator);
        out.push_back(trim(text.substr(0, at)));
        if (at == std::string_view::npos) return out;
        text.remove_prefix(at + 1);
    }
}

template <class Number>
Number number(std::string_view text) {
    Number out{};
    const bool plus = text.starts_with('+');
    const auto digits = text.substr(plus ? 1 : 0);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (error != std::errc{} || end != digits.data() + digits.size()) fail(text, "not a number");
    return out;
}

std::uint64_t size_of(std::string_view text) {
    struct unit {
        std::string_view name;
        std::uint64_t factor;
    };
    static constexpr std::array<unit, 4> units{{{"KiB", 1024}, {"MiB", 1024 * 1024}, {"b", 1}, {"B", 1}}};
    for (const auto& [name, factor] : units)
        if (text.ends_with(name)) return number<std::uint64_t>(text.substr(0, text.size() - name.size())) * factor;
    return number<std::uint64_t>(text);
}

script_time time_of(std::string_view text) {
    script_time out;
    const auto fields = split(text, ':');
    if (fields.size() == 1) {
        out.value_ns = parse_script_duration(text);
    } else if (fields.size() == 3 && fields[0] == "lognormal") {
        out.is = script_time::law::lognormal;
        out.value_ns = parse_script_duration(fields[1]);
        out.spread = number<double>(fields[2]);
    } else if (fields.size() == 3 && fields[0] == "uniform") {
        out.is = script_time::law::uniform;
        out.value_ns = parse_script_duration(fields[1]);
        out.spread = static_cast<double>(parse_script_duration(fields[2]));
    } else {
        fail(text, "a time is 250ms, lognormal:MEDIAN:SIGMA or uniform:LOW:HIGH");
    }
    return out;
}

script_place place_of(std::string_view text) {
    using at = script_place::at;
    if (text == "request") return {at::request, 0};
    if (text == "status_line") return {at::status_line, 0};
    if (text == "head") return {at::head, 0};
    if (!text.empty() && text.back() >= '0' && text.back() <= '9') return {at::events, number<std::uint64_t>(text)};
    return {at::bytes, size_of(text)};
}

std::string bytes_of(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const char c = text.front();
        text.remove_prefix(1);
        if (c != '\\') {
            out += c;
            continue;
        }
        const char what = text.empty() ? '\0' : text.front();
        text.remove_prefix(text.empty() ? 0 : 1);
        if (what == 'x' && text.size() >= 2) {
            unsigned value = 0;
            if (std::from_chars(text.data(), text.data() + 2, value, 16).ptr != text.data() + 2)
                fail(text, "not \\xHH");
            out += static_cast<char>(value);
            text.remove_prefix(2);
        } else if (what == 'r' || what == 'n' || what == '\\') {
            out += what == 'r' ? '\r' : what == 'n' ? '\n' : '\\';
        } else {
            fail(text, "unknown escape");
        }
    }
    return out;
}

template <class Word>
using words = std::vector<std::pair<std::string_view, Word>>;

template <class Word>
Word word_of(std::string_view text, const words<Word>& known) {
    for (const auto& [name, word] : known)
        if (name == text) return word;
    fail(text, "unknown word");
}

const words<error_kind>& error_words() {
    using enum error_kind;
    static const words<error_kind> known{{"rate", rate},
                                         {"quota", quota},
                                         {"overload", overload},
                                         {"server", server},
                                         {"timeout", timeout},
                                         {"invalid", invalid},
                                         {"auth", auth},
                                         {"billing", billing},
                                         {"permission", permission},
                                         {"not_found", not_found},
                                         {"conflict", conflict},
                                         {"too_large", too_large},
                                         {"context_length", context_length},
                                         {"content_filter", content_filter}};
    return known;
}

using setter = std::function<void(provider_script&, std::string_view)>;

const std::vector<std::pair<std::string_view, setter>>& setters() {
    using script = provider_script;
    using text = std::string_view;
    static const std::vector<std::pair<text, setter>> table{
        {"fail_times", [](script& s, text v) { s.fail_times = number<int>(v); }},
        {"key", [](script& s, text v) { s.key = v; }},
        {"delay", [](script& s, text v) { s.delay = time_of(v); }},
        {"first", [](script& s, text v) { s.first = time_of(v); }},
        {"gap", [](script& s, text v) { s.gap = time_of(v); }},
        {"preamble",
         [](script& s, text v) {
             s.late_preamble = word_of<bool>(v, {{"late", true}, {"early", false}});
         }},
        {"keepalive",
         [](script& s, text v) {
             const auto fields = split(v, '@');
             if (fields.size() != 2) fail(v, "keepalive is N@T");
             s.keepalives = number<int>(fields[0]);
             s.keepalive_interval = time_of(fields[1]);
         }},
        {"quota",
         [](script& s, text v) {
             const auto fields = split(v, '/');
             if (fields.size() != 2) fail(v, "quota is N/T");
             s.quota = number<std::uint64_t>(fields[0]);
             s.quota_window_ns = parse_script_duration(fields[1]);
             if (s.quota == 0 || s.quota_window_ns <= 0) fail(v, "quota is N/T, both more than nothing");
         }},
        {"quota_fills",
         [](script& s, text v) {
             s.quota_fills_steadily = word_of<bool>(v, {{"steadily", true}, {"whole", false}});
         }},
        {"quota_says",
         [](script& s, text v) {
             s.quota_says = word_of<std::string>(
                 v, {{"openai", "openai"}, {"anthropic", "anthropic"}, {"azure", "azure"}, {"ietf", "ietf"}});
         }},
        {"keepalive_form",
         [](script& s, text v) {
             using enum keepalive_form;
             s.keepalive = word_of<keepalive_form>(
                 v, {{"comment", comment}, {"processing", processing}, {"blank", blank}, {"ping", ping}});
         }},
        {"drip",
         [](script& s, text v) {
             const auto fields = split(v, '/');
             s.drip = time_of(fields[0]);
             if (fields.size() > 1) s.drip_bytes = std::max<std::size_t>(1, number<std::size_t>(fields[1]));
         }},
        {"events", [](script& s, text v) { s.events = number<int>(v); }},
        {"piece", [](script& s, text v) { s.piece_bytes = size_of(v); }},
        {"size", [](script& s, text v) { s.text_bytes = size_of(v); }},
        {"unicode", [](script& s, text) { s.unicode = true; }},
        {"split", [](script& s, text v) { s.split = time_of(v); }},
        {"merge", [](script& s, text) { s.merge = true; }},
        {"stamp", [](script& s, text) { s.stamp = true; }},
        {"finish", [](script& s, text v) { s.finish = v; }},
        {"terminal",
         [](script& s, text v) {
             using enum terminal_part;
             s.terminal = word_of<terminal_part>(v, {{"all", all}, {"finish", finish}, {"done", done}, {"none", none}});
         }},
        {"encoding",
         [](script& s, text v) {
             s.gzip = word_of<bool>(v, {{"gzip", true}, {"identity", false}});
         }},
        {"status", [](script& s, text v) { s.status = number<int>(v); }},
        {"error", [](script& s, text v) { s.error = word_of(v, error_words()); }},
        {"retry_after", [](script& s, text v) { s.retry_after = v; }},
        {"retry_after_ms", [](script& s, text v) { s.retry_after_ms = v; }},
        {"should_retry", [](script& s, text v) { s.should_retry = v; }},
        {"body", [](script& s, text v) { s.body = std::string{v}; }},
        {"raw", [](script& s, text v) { s.raw = bytes_of(v); }},
        {"early",
         [](script& s, text v) {
             using enum early_end;
             s.early = word_of<early_end>(v, {{"", close}, {"close", close}, {"drain", drain}, {"reset", reset}});
         }},
        {"early_after", [](script& s, text v) { s.early_after = size_of(v); }},
        {"reads",
         [](script& s, text v) {
             const auto at = v.find('@');
             s.reads_bytes = size_of(v.substr(0, at));
             if (at != text::npos) s.reads_interval = time_of(v.substr(at + 1));
         }},
        {"reset_after", [](script& s, text v) { s.reset_after = place_of(v); }},
        {"close_after", [](script& s, text v) { s.close_after = place_of(v); }},
        {"end_after", [](script& s, text v) { s.end_after = place_of(v); }},
        {"stall_after", [](script& s, text v) { s.stall_after = place_of(v); }},
        {"stall", [](script& s, text v) { s.stall = time_of(v); }},
        {"error_after", [](script& s, text v) { s.error_after = number<int>(v); }},
        {"error_then",
         [](script& s, text v) {
             using enum error_sequel;
             s.error_then =
                 word_of<error_sequel>(v, {{"end", end}, {"done", done}, {"close", close}, {"continue", go_on}});
         }},
        {"error_form",
         [](script& s, text v) {
             s.error_as_data = word_of<bool>(v, {{"event", false}, {"data", true}});
         }},
        {"malformed_after", [](script& s, text v) { s.malformed_after = number<int>(v); }},
        {"bad_chunk_after", [](script& s, text v) { s.bad_chunk_after = number<int>(v); }},
        {"tls_truncate", [](script& s, text) { s.tls_truncate = true; }},
        {"keep_going", [](script& s, text) { s.keep_going = true; }},
        {"framing",
         [](script& s, text v) {
             using enum script_framing;
             s.framing = word_of<script_framing>(
                 v, {{"length", length}, {"chunked", chunked}, {"close", close}, {"none", none}});
         }},
        {"http",
         [](script& s, text v) {
             s.http_1_0 = word_of<bool>(v, {{"1.0", true}, {"1.1", false}});
         }},
        {"content_length", [](script& s, text v) { s.content_length_error = number<std::int64_t>(v); }},
        {"conflict", [](script& s, text) { s.conflict = true; }},
        {"extra",
         [](script& s, text v) {
             if (v == "response")
                 s.extra_response = true;
             else
                 s.extra_bytes = size_of(v);
         }},
        {"informational",
         [](script& s, text v) {
             for (const auto part : split(v, ',')) s.informational.push_back(number<int>(part));
         }},
        {"switch", [](script& s, text) { s.unasked_switch = true; }},
        {"connection",
         [](script& s, text v) {
             s.close_connection = word_of<bool>(v, {{"close", true}, {"announce", false}});
             s.announce_close = true;
         }},
        {"keep_alive", [](script& s, text v) { s.keep_alive = v; }},
        {"idle_close", [](script& s, text v) { s.idle_close = time_of(v); }},
        {"header",
         [](script& s, text v) {
             const auto colon = v.find(':');
             if (colon == text::npos) fail(v, "header is NAME:VALUE");
             s.headers.emplace_back(trim(v.substr(0, colon)), trim(v.substr(colon + 1)));
         }},
        {"type", [](script& s, text v) { s.content_type = v; }},
        {"accept",
         [](script& s, text v) {
             using enum accept_action;
             s.accept = word_of<accept_action>(
                 v,
                 {{"reset", reset}, {"close", close}, {"silence", silence}, {"garbage", garbage}, {"tunnel", tunnel}});
         }},
    };
    return table;
}

provider_script parse_one(std::string_view text) {
    provider_script out;
    for (const auto setting : split(text, ';')) {
        if (setting.empty()) continue;
        const auto equals = setting.find('=');
        const auto key = trim(setting.substr(0, equals));
        const auto value = equals == std::string_view::npos ? std::string_view{} : trim(setting.substr(equals + 1));
        const auto found =
            std::find_if(setters().begin(), setters().end(), [&](const auto& entry) { return entry.first == key; });
        if (found == setters().end()) fail(setting, "unknown key");
        found->second(out, value);
    }
    return out;
}

} // namespace

std::int64_t parse_script_duration(std::string_view text) {
    struct unit {
        std::string_view name;
        double ns;
    };
    static constexpr std::array<unit, 4> units{{{"us", 1e3}, {"ms", 1e6}, {"ns", 1}, {"s", 1e9}}};
    for (const auto& [name, ns] : units)
        if (text.ends_with(name))
            return static_cast<std::int64_t>(
                std::llround(number<double>(text.substr(0, text.size() - name.size())) * ns));
    if (text == "0") return 0;
    fail(text, "a duration needs a unit: us, ms or s");
}

std::int64_t script_time::draw(double u, double v) const {
    switch (is) {
    case law::constant: return value_ns;
    case law::uniform: return value_ns + static_cast<std::int64_t>(u * (spread - static_cast<double>(value_ns)));
    case law::lognormal: {
        // Box and Muller; 1 - u is never 0.
        const double normal = std::sqrt(-2 * std::log(1 - u)) * std::cos(2 * std::numbers::pi * v);
        return static_cast<std::int64_t>(static_cast<double>(value_ns) * std::exp(spread * normal));
    }
    }
    return value_ns;
}

script_choice::script_choice(std::string_view text) : text_(trim(text)) {
    for (const auto part : split(text_, '|')) {
        double share = 1;
        auto rest = part;
        const auto colon = part.find(':');
        if (colon != std::string_view::npos && part.find('=') > colon && part.find(';') > colon) {
            share = number<double>(trim(part.substr(0, colon)));
            rest = part.substr(colon + 1);
        }
        alternatives_.push_back({share, parse_one(rest)});
    }
}

bool script_choice::is_about_reading() const noexcept {
    return std::any_of(alternatives_.begin(), alternatives_.end(), [](const alternative& a) {
        return a.script.early != early_end::none || a.script.reads_bytes > 0;
    });
}

const provider_script& script_choice::pick(double u) const noexcept {
    for (const auto& [share, script] : alternatives_) {
        if (u < share) return script;
        u -= share;
    }
    return healthy_;
}

} // namespace evenkeel::provider
