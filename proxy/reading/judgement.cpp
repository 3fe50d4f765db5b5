#include "proxy/reading/judgement.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/content_decoder.hpp"
#include "proxy/wire/event_meaning.hpp"
#include "proxy/wire/lenient_json.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {
std::string_view trimmed(std::string_view text) noexcept {
    const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    // DeepSeek keeps connections alive with empty lines.
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    text = wire::without_mark(text);
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    return text;
}

// Where the framing cannot tell a cut from an end, the JSON's own brackets do.
bool is_closed_json(std::string_view text) noexcept {
    return text.size() >= 2 &&
           ((text.front() == '{' && text.back() == '}') || (text.front() == '[' && text.back() == ']'));
}

// A credential the client brought is the client's own affair: any endpoint would be shown the same.
void own_up(attempt_outcome& outcome, const error_words& said, const judge_rules& rules) noexcept {
    if (outcome.what.kind != outcome_kind::credential) return;
    if (rules.own_credential) {
        outcome.over = refused_over_what(said);
    } else {
        outcome.what = {outcome_class::success, outcome_kind::caller_error};
    }
}

// A page that a CDN puts in front of a provider, to be solved by a browser (challenges, blocked addresses): the
// provider has not been asked. An API that we know writes its own refusals as JSON.
bool is_page_of_another(int status, content_facts content, const judge_rules& rules) noexcept {
    return status == 403 && content.is == content_facts::kind::html && rules.dialect != wire::dialect::generic;
}
} // namespace

content_facts content_of(const wire::response_head& head) noexcept {
    using kind = content_facts::kind;
    static constexpr std::array<std::pair<std::string_view, kind>, 4> types{{{"application/json", kind::json},
                                                                             {"text/html", kind::html},
                                                                             {"text/event-stream", kind::events},
                                                                             {"application/x-ndjson", kind::lines}}};
    content_facts content;
    for (const wire::field& one : head.fields) {
        if (one.id == wire::field_id::content_encoding) {
            if (one.value.empty() || wire::iequals(one.value, "identity")) continue;
            // Of several, one over the other, none is undone here.
            content.decodable = !content.encoded && wire::content_decoder::knows(one.value);
            content.encoded = true;
            content.coding = one.value;
        } else if (one.id == wire::field_id::content_type) {
            if (wire::begins_with(one.value, "application/json")) { // as good as always
                content.is = kind::json;
                continue;
            }
            const auto found = std::find_if(types.begin(), types.end(), [&](const auto& type) {
                return wire::istarts_with(one.value, type.first);
            });
            content.is = found != types.end() ? found->second : kind::other;
        }
    }
    return content;
}

attempt_outcome failed_with(outcome_kind kind, bool never_sent) noexcept {
    attempt_outcome outcome;
    outcome.what = {kind == outcome_kind::cancelled ? outcome_class::neutral : outcome_class::failure, kind};
    outcome.never_sent = never_sent;
    return outcome;
}

attempt_outcome judge_error(const wire::response_head& head, content_facts content, std::string_view body,
                            const judge_rules& rules, wall_time now, wire::error_facts& facts) {
    if (content.readable()) facts = wire::read_error(body);
    attempt_outcome outcome;
    outcome.has_answer = true;
    outcome.retry_after = wire::retry_hint(head, facts, now);
    outcome.should_retry = wire::should_retry(head);
    outcome.what = classify_answer(head.status, facts.words(), outcome.retry_after, rules.max_retry_after);
    outcome.no_effect = is_refusal(head.status, outcome.retry_after.has_value());
    if (is_page_of_another(head.status, content, rules))
        outcome.what = {outcome_class::failure, outcome_kind::server_error};
    own_up(outcome, facts.words(), rules);
    return outcome;
}

bool is_no_answer(const wire::response_head& head, content_facts content, const judge_rules& rules) noexcept {
    if (head.status != 200 || !rules.wants_content) return false;
    const bool empty =
        head.body.kind == wire::body_kind::none || (head.body.kind == wire::body_kind::length && head.body.length == 0);
    return empty || content.is == content_facts::kind::html;
}

bool promises_json(const wire::response_head& head, content_facts content, const judge_rules& rules) noexcept {
    return head.status == 200 && rules.wants_content && !rules.array_stream && content.readable() &&
           content.is == content_facts::kind::json;
}

std::optional<attempt_outcome> judge_whole(const wire::response_head& head, content_facts content,
                                           std::string_view body, const judge_rules& rules, wire::error_facts& facts) {
    if (head.status != 200 || !rules.wants_content) return std::nullopt;
    if (!content.readable()) {
        if (is_no_answer(head, content, rules)) return failed_with(outcome_kind::protocol_error);
        return std::nullopt;
    }
    // Bytes before labels: JSON is read whatever it is called, and a page is no answer.
    const std::string_view text = trimmed(body);
    const bool looks = text.starts_with('{') || text.starts_with('[');
    if (text.empty() || (is_no_answer(head, content, rules) && !looks))
        return failed_with(outcome_kind::protocol_error);
    // Without a label too, where nothing else would tell that it is cut: its end is that of the connection.
    const bool may_be_cut = text.starts_with('{') && head.body.kind == wire::body_kind::until_close;
    if ((content.is == content_facts::kind::json || may_be_cut) && !is_closed_json(text))
        return failed_with(outcome_kind::protocol_error);
    if (!looks) return std::nullopt;
    if (wire::holds_error(text)) {
        facts = wire::read_error(text);
        attempt_outcome outcome = judge_error_event(facts, rules);
        outcome.empty = facts.in_choice;
        return outcome;
    }
    if (rules.judges_empty && wire::says_nothing(text)) return judge_empty();
    return std::nullopt;
}

// Evidence of nothing: the endpoint lives, and may have had nothing to say.
attempt_outcome judge_empty() noexcept {
    attempt_outcome outcome;
    outcome.what = {outcome_class::neutral, outcome_kind::protocol_error};
    outcome.empty = true;
    outcome.has_answer = true;
    return outcome;
}

attempt_outcome judge_error_event(const wire::error_facts& facts, const judge_rules& rules) noexcept {
    attempt_outcome outcome;
    outcome.embedded = true;
    outcome.has_answer = true;
    outcome.retry_after = facts.retry_delay;
    outcome.what = classify_embedded(facts.words(), rules.max_retry_after);
    own_up(outcome, facts.words(), rules);
    return outcome;
}

telemetry::attempt_result result_of(const attempt_outcome& outcome) noexcept {
    using telemetry::attempt_result;
    if (outcome.embedded) return attempt_result::stream_error;
    if (outcome.empty) return attempt_result::empty;
    switch (outcome.what.kind) {
    case outcome_kind::answered: return attempt_result::success;
    case outcome_kind::connect_failure: return attempt_result::connect_failure;
    case outcome_kind::reset: return attempt_result::reset;
    case outcome_kind::timeout: return attempt_result::timeout;
    case outcome_kind::overloaded: return attempt_result::overloaded;
    case outcome_kind::rate_limited: return attempt_result::rate_limited;
    case outcome_kind::quota: return attempt_result::quota;
    case outcome_kind::credential: return attempt_result::credential;
    case outcome_kind::server_error: return attempt_result::server_error;
    case outcome_kind::protocol_error: return attempt_result::protocol_error;
    case outcome_kind::caller_error: return attempt_result::caller_error;
    case outcome_kind::cancelled: return attempt_result::cancelled;
    }
    return attempt_result::cancelled;
}

telemetry::attempt_result result_of_status(int status) noexcept {
    if (status < 400) return telemetry::attempt_result::success;
    attempt_outcome outcome;
    outcome.what = classify_answer(status, {}, std::nullopt, duration::max());
    return result_of(outcome);
}

std::optional<wire::stream_format> stream_format_of(content_facts content, const judge_rules& rules) noexcept {
    using kind = content_facts::kind;
    const bool streams =
        content.is == kind::events || content.is == kind::lines || (rules.array_stream && content.is == kind::json);
    if (!streams) return std::nullopt;
    if (!content.readable()) return wire::stream_format::opaque;
    return content.is == kind::events  ? wire::stream_format::sse
           : content.is == kind::lines ? wire::stream_format::ndjson
                                       : wire::stream_format::json_array;
}

bool is_event_stream(const wire::response_head& head) noexcept {
    return head.status == 200 && content_of(head).is == content_facts::kind::events;
}

} // namespace evenkeel::request
