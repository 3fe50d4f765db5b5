#include "proxy/telemetry/request_story.hpp"

#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/kept_tries.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <variant>

namespace evenkeel::telemetry {

namespace {

// "0.120 s", "31.5 s", "12 min"
std::string span_of(duration length) {
    const double seconds = in_seconds(length);
    if (seconds < 10) return fmt::format("{:.3f} s", seconds);
    if (seconds < 600) return fmt::format("{:.1f} s", seconds);
    return fmt::format("{:.0f} min", seconds / 60);
}

std::string_view clause_of(retry_denial why) {
    switch (why) {
    case retry_denial::none: return "nothing more was wanted";
    case retry_denial::off: return "retries are off";
    case retry_denial::limit: return "as many attempts as max_retries allows were made";
    case retry_denial::budget: return "its budget for extra attempts is empty";
    case retry_denial::deadline: return "it could not have answered in the time that was left";
    case retry_denial::retry_after: return "it rests, having asked to be left alone";
    case retry_denial::not_replayable: return "the request may have had an effect, or its body is not held";
    case retry_denial::not_retryable: return "another attempt would meet the same, or retry.on leaves this out";
    case retry_denial::upstream_said: return "the upstream said x-should-retry: false";
    case retry_denial::no_endpoint: return "there is none that may be asked again";
    case retry_denial::committed: return "part of the answer had been passed on";
    case retry_denial::circuit_open: return "its circuit is open";
    case retry_denial::overload: return "it is overloaded, and has no room for this";
    case retry_denial::model_circuit_open: return "its circuit for this model is open";
    case retry_denial::paced: return "its quota has nothing for it in time";
    }
    return "";
}

std::string_view clause_of(hedge_refusal why) {
    switch (why) {
    case hedge_refusal::none: return "none was due";
    case hedge_refusal::guard: return "too few of the last ones won";
    case hedge_refusal::slow: return "everything is slow";
    case hedge_refusal::overload: return "the upstream is overloaded";
    case hedge_refusal::budget: return "less than half of the budget is left";
    case hedge_refusal::no_endpoint: return "there is none to send it to";
    case hedge_refusal::limit: return "max_hedges or max_retries is reached";
    case hedge_refusal::not_replayable: return "the request may not be sent twice";
    case hedge_refusal::deadline: return "it could not have answered in time";
    }
    return "";
}

std::string_view clause_of(rescue_refusal why) {
    switch (why) {
    case rescue_refusal::none: return "none was due";
    case rescue_refusal::limit: return "max_retries is reached, or the only upstream has been asked twice";
    case rescue_refusal::not_replayable: return "the request may not be sent twice";
    case rescue_refusal::no_endpoint: return "there is none that may be asked beside it";
    case rescue_refusal::overload: return "the other one is overloaded, and more requests would make it worse";
    case rescue_refusal::budget: return "the silent one's budget is empty";
    case rescue_refusal::deadline: return "it could not have answered in time";
    }
    return "";
}

std::string_view clause_of(bulkhead_refusal why) {
    switch (why) {
    case bulkhead_refusal::none: return "";
    case bulkhead_refusal::queue_full: return "as many requests as bulkhead.max_queue allows waited already";
    case bulkhead_refusal::tenant_share: return "others waited, and its tenant had its share of the queue";
    case bulkhead_refusal::queue_timeout: return "its time was over before its turn came";
    }
    return "";
}

std::string_view clause_of(fallback_skip why) {
    switch (why) {
    case fallback_skip::no_key: return "nothing tells which answers are alike to this request's";
    case fallback_skip::no_entry: return "nothing is kept for this request";
    case fallback_skip::too_old: return "what is kept is older than max_age";
    case fallback_skip::no_time: return "too little of the request's time was left";
    case fallback_skip::not_replayable: return "the request may have had an effect, or its body is not held";
    case fallback_skip::failed: return "it had no good answer either";
    }
    return "";
}

// RFC 9209's tokens, and those words of the gates that an attempt ends with, in plain words.
std::string cause_of(std::string_view token) {
    constexpr std::pair<std::string_view, std::string_view> known[] = {
        {"connection_refused", "the connection was refused"},
        {"connection_timeout", "no connection was made in time"},
        {"connection_terminated", "the connection ended"},
        {"connection_read_timeout", "nothing came for too long"},
        {"connection_write_timeout", "nothing could be sent for too long"},
        {"connection_limit_reached", "connections.max are open"},
        {"dns_error", "its name could not be resolved"},
        {"dns_timeout", "its name was not resolved in time"},
        {"destination_ip_unroutable", "there is no way to its address"},
        {"tls_protocol_error", "TLS went wrong"},
        {"tls_certificate_error", "its certificate was not accepted"},
        {"tls_alert_received", "it ended TLS with an alert"},
        {"http_response_incomplete", "the answer was cut short"},
        {"http_response_timeout", "it was not whole in time"},
        {"http_protocol_error", "it is no valid HTTP/1.1"},
        {"http_response_transfer_coding", "its chunks are broken"},
        {"http_response_content_coding", "its compression is broken"},
        {"http_response_header_section_size", "its head is too large"},
    };
    const auto* found =
        std::find_if(std::begin(known), std::end(known), [&](const auto& one) { return one.first == token; });
    return found != std::end(known) ? std::string{found->second} : std::string{token};
}

class teller {
public:
    teller(const kept_request& of, const kept_request::happening& at) : of_(of), at_(at) {}

    std::string operator()(const happened::queued& it) const {
        const std::string share = it.tenant_limited ? ", as its tenant had its share" : std::string{};
        if (it.admitted)
            return fmt::format("It waited {} in the bulkhead's queue{}; then it had its turn.", span_of(it.waited),
                               share);
        if (it.refused == bulkhead_refusal::none)
            return fmt::format("Its client left while it waited {} in the bulkhead's queue.", span_of(it.waited));
        const std::string after =
            it.in_line ? fmt::format(" after {} in the queue", span_of(it.waited)) : std::string{};
        return fmt::format("The bulkhead refused it{}: {}.", after, clause_of(it.refused));
    }
    std::string operator()(const happened::joined& it) const {
        if (it.role == coalesce_role::leader) return "It began a flight that identical requests may share.";
        return "An identical request was under way: it waited for that one's answer.";
    }
    std::string operator()(const happened::detached& it) const {
        const std::string_view why = it.why == coalesce_detachment::slow ? "it was further behind than is held"
                                                                         : "limits.memory had no room for it";
        return fmt::format("It lost the shared flight, since {}, and was sent by itself.", why);
    }
    std::string operator()(const happened::shared_flight_ended&) const { return {}; }

    std::string operator()(const happened::launched& it) const {
        std::string out = who();
        if (at_.key >= 0) out += fmt::format(", with credential '{}',", of_.keys[static_cast<std::size_t>(at_.key)]);
        switch (it.kind) {
        case attempt_kind::first: out += " was asked"; break;
        case attempt_kind::retry:
            out += it.why == "failover" || it.why == "next_credential" ? " was asked instead" : " was asked again";
            break;
        case attempt_kind::stale_retry:
            out += " was asked again over a fresh connection: the one that had been kept open was dead";
            break;
        case attempt_kind::plain_retry:
            out += " was asked again, without the stream that its client had not asked for";
            break;
        case attempt_kind::hedge: out += " was asked as well, as a hedge: the answer took longer than usual"; break;
        case attempt_kind::rescue:
            out += " was asked as well, as a rescue: the one before was silent out of all proportion";
            break;
        case attempt_kind::probe: out += " was asked by a copy of the request, as a probe"; break;
        }
        if (it.probe) out += ", to find out whether its circuit may close";
        return out + '.';
    }
    std::string operator()(const happened::passed_over& it) const {
        return fmt::format("{} was not asked{}: {}{}.", who(), it.wanted == attempt_purpose::first ? "" : " again",
                           clause_of(it.why), times());
    }
    std::string operator()(const happened::not_followed& it) const {
        return fmt::format("No other attempt took its place: {}.", clause_of(it.why));
    }
    std::string operator()(const happened::not_hedged& it) const {
        return fmt::format("A hedge was due and was not sent: {}{}.", clause_of(it.why), times());
    }
    std::string operator()(const happened::not_rescued& it) const {
        return fmt::format("A rescue was due and was not sent: {}.", clause_of(it.why));
    }
    std::string operator()(const happened::overdue&) const {
        return fmt::format("{} was silent for longer than an attempt may be, and went on: there was nothing better.",
                           who());
    }
    std::string operator()(const happened::committed& it) const {
        if (it.why == "last_answer")
            return fmt::format("The answer of {} was passed on as it is: nothing better came.", who());
        return fmt::format("The answer of {} became the request's.", who());
    }
    std::string operator()(const happened::holding& it) const {
        if (it.why == retry_denial::circuit_open)
            return "The request waited for an upstream to recover: every circuit is open.";
        if (it.why == retry_denial::model_circuit_open)
            return "The request waited for its model to recover: no upstream's circuit lets it through.";
        return fmt::format("The request waited for an upstream that may be asked: {}.", clause_of(it.why));
    }
    std::string operator()(const happened::held& it) const {
        return it.went_on ? fmt::format("After {} one could be asked.", span_of(it.waited))
                          : fmt::format("It had waited {} in vain.", span_of(it.waited));
    }
    std::string operator()(const happened::pacing&) const {
        return fmt::format("It waited for its turn at the quota of {}.", who());
    }
    std::string operator()(const happened::paced& it) const {
        using enum happened::paced::end;
        if (it.how == went_on) return fmt::format("After {} it was its turn.", span_of(it.waited));
        if (it.how == went_through)
            return fmt::format("After {}, as long as pace.max_wait allows, it went through.", span_of(it.waited));
        return fmt::format("It had waited {} in vain.", span_of(it.waited));
    }
    std::string operator()(const happened::gave_up& it) const {
        if (it.why == "client_gone") return "Its client had left: nothing more was done.";
        const std::string_view what = it.why == "deadline" ? "the request's time was over" : std::string_view{};
        if (it.denied == retry_denial::none)
            return what.empty() ? "No further attempt was made."
                                : fmt::format("No further attempt was made: {}.", what);
        return fmt::format("No further attempt was made: {}.", clause_of(it.denied));
    }
    std::string operator()(const happened::ended& it) const {
        const std::string status = it.status != 0 ? fmt::format(" with status {}", it.status) : std::string{};
        const std::string took = span_of(it.took);
        const std::string cause = it.why.empty() ? std::string{} : ": " + cause_of(it.why);
        switch (it.result) {
        case attempt_result::success: return fmt::format("{} answered{}, whole after {}.", who(), status, took);
        case attempt_result::caller_error:
            if (it.status == 401 || it.status == 403)
                return fmt::format("{} answered{} after {}: it did not accept the caller's credential.", who(), status,
                                   took);
            return fmt::format("{} answered{} after {}: the request itself was at fault.", who(), status, took);
        case attempt_result::credential:
            return fmt::format("{} answered{} after {}: it did not accept the credential.", who(), status, took);
        case attempt_result::server_error:
            return fmt::format("{} failed{} after {}: an error of its own.", who(), status, took);
        case attempt_result::rate_limited:
            return fmt::format("{} answered{} after {}: too many requests for now.", who(), status, took);
        case attempt_result::overloaded:
            return fmt::format("{} answered{} after {}: it is overloaded.", who(), status, took);
        case attempt_result::quota:
            return fmt::format("{} answered{} after {}: the quota or the money is used up.", who(), status, took);
        case attempt_result::connect_failure: return fmt::format("{} could not be reached{} ({}).", who(), cause, took);
        case attempt_result::tls_failure: return fmt::format("No TLS with {} could be had{} ({}).", who(), cause, took);
        case attempt_result::reset:
            return fmt::format("{} broke off before its answer was whole{} ({}).", who(), cause, took);
        case attempt_result::protocol_error:
            if (it.why == "http_response_incomplete") // what else is wrong with a body has no token of its own
                return fmt::format("{} sent what is no valid answer: it is empty, cut short, or not in the format that "
                                   "was asked for ({}).",
                                   who(), took);
            return fmt::format("{} sent what is no valid answer{} ({}).", who(), cause, took);
        case attempt_result::stream_error:
            return fmt::format("{} told of an error inside its stream, after {}.", who(), took);
        case attempt_result::empty:
            return fmt::format("{} answered{} after {}, but said nothing: no text, no call, no refusal.", who(), status,
                               took);
        case attempt_result::timeout: {
            const std::string silent = it.silent > duration::zero()
                                           ? fmt::format("; nothing had come for {}", span_of(it.silent))
                                           : std::string{};
            return fmt::format("{} was given up after {}{}{}.", who(), took,
                               it.why == "deadline" ? ": the request's time was over" : ": it was silent for too long",
                               silent);
        }
        case attempt_result::truncated:
            return fmt::format("{} ended its answer before it was whole, after {}{}.", who(), took, cause);
        case attempt_result::cancelled: return cancelled(it);
        }
        return {};
    }
    std::string operator()(const happened::faulted& it) const {
        return fmt::format("Chaos did something to the attempt that follows: {}.", to_string(it.with));
    }
    std::string operator()(const happened::upcast& it) const {
        switch (it.how) {
        case upcast_result::assembled: return "The stream that was asked for was put together into one answer.";
        case upcast_result::unknown_field: return "The stream holds something that has no known place in an answer.";
        case upcast_result::incomplete: return "The stream does not hold all that an answer has.";
        case upcast_result::too_large: return "The stream is more than may be held.";
        case upcast_result::refused: return "The upstream does not stream this.";
        case upcast_result::not_streamed: return "A stream was asked for; the answer came in one piece all the same.";
        }
        return {};
    }
    std::string operator()(const happened::unread&) const {
        return "The answer came compressed, unasked, in a way that cannot be read: it was passed on without being "
               "judged.";
    }
    std::string operator()(const happened::resumed& it) const {
        switch (it.how) {
        case stream_resumption::resumed:
            return "The stream broke, was asked for again, and went on where it had stopped.";
        case stream_resumption::differs: return "The stream broke, and a second one did not say the same.";
        case stream_resumption::no_attempt: return "The stream broke, and could not be had again.";
        case stream_resumption::not_comparable:
            return "The stream broke, and is none that can be compared with another.";
        }
        return {};
    }
    std::string operator()(const happened::step_skipped& it) const {
        return fmt::format("Fallback {} could not answer: {}.", to_string(it.step), clause_of(it.why));
    }
    std::string operator()(const happened::step_taken& it) const {
        return fmt::format("Fallback {} answered in its place.", to_string(it.step));
    }
    std::string operator()(const happened::ladder_exhausted&) const { return "No step of the fallback could answer."; }

private:
    [[nodiscard]] std::string who() const {
        if (at_.where < 0) return "the upstream";
        const kept_request::endpoint& it = of_.endpoints[static_cast<std::size_t>(at_.where)];
        return it.label.empty() ? it.upstream : fmt::format("{} ({})", it.upstream, it.label);
    }
    [[nodiscard]] std::string times() const {
        return at_.times > 1 ? fmt::format(" ({} times)", at_.times) : std::string{};
    }
    [[nodiscard]] std::string cancelled(const happened::ended& it) const {
        const std::string silent = it.silent > duration::zero()
                                       ? fmt::format("; nothing had come from it for {}", span_of(it.silent))
                                       : std::string{};
        if (it.why == "client_gone")
            return fmt::format("{} was given up after {}: the client left{}.", who(), span_of(it.took), silent);
        if (it.why == "lost" || it.why == "overtaken")
            return fmt::format("{} was given up after {}: another one was quicker{}.", who(), span_of(it.took), silent);
        return fmt::format("{} was given up after {}{}.", who(), span_of(it.took), silent);
    }

    const kept_request& of_;
    const kept_request::happening& at_;
};

std::string printable(std::string_view text) {
    std::string out{text};
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return out;
}

// Words of `text` in lines of `columns`, the first behind `lead`, the others below it.
void append_wrapped(std::string& out, std::string_view lead, std::string_view text, std::size_t columns) {
    const std::string below(lead.size(), ' ');
    std::string line{lead};
    bool any = false;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (word.empty()) continue;
        if (any && line.size() + 1 + word.size() > columns) {
            out.append(line).append("\n");
            line = below;
            any = false;
        }
        if (any) line += ' ';
        line += word;
        any = true;
    }
    out.append(line).append("\n");
}

std::string time_text(wall_time when) {
    std::string out(timestamp_size, ' ');
    write_timestamp(out.data(), when);
    return out;
}

std::string times_of(const kept_request& of) {
    std::string out = fmt::format("{} in all", span_of(of.total));
    const auto add = [&](duration part, std::string_view what) {
        if (part > duration::zero()) out += fmt::format(", {} {}", span_of(part), what);
    };
    if (of.first_token > duration::zero())
        add(of.first_token, "until its first token");
    else
        add(of.first_byte, "until its first byte");
    add(of.effort.uploading, "waiting for the client's body");
    add(of.effort.queued, "in the bulkhead's queue");
    add(of.effort.held, "waiting for an upstream to recover");
    add(of.effort.paced, "waiting for its turn at a quota");
    add(of.lost, "in attempts that did not answer it");
    add(of.paused, "between attempts");
    out += fmt::format(", {:.6f} s our own", in_seconds(of.overhead));
    return out + '.';
}

class object {
public:
    object() { out_ += '{'; }
    void text(std::string_view name, std::string_view value) {
        if (value.empty()) return;
        key(name);
        append_quoted(out_, value);
    }
    void raw(std::string_view name, std::string_view json) {
        key(name);
        out_ += json;
    }
    void number(std::string_view name, auto value) {
        key(name);
        fmt::format_to(std::back_inserter(out_), "{}", value);
    }
    void seconds(std::string_view name, duration value) {
        if (value <= duration::zero()) return;
        key(name);
        fmt::format_to(std::back_inserter(out_), "{:.6f}", in_seconds(value));
    }
    std::string end() { return std::move(out_) + '}'; }

private:
    void key(std::string_view name) {
        if (out_.size() > 1) out_ += ',';
        append_quoted(out_, name);
        out_ += ':';
    }
    std::string out_;
};

void fill_summary(object& to, const kept_request& of) {
    to.text("id", of.id);
    to.text("ts", time_text(of.started));
    to.text("route", of.route);
    to.text("part_of", of.part_of);
    to.text("method", of.method);
    to.text("path", of.path);
    to.text("model", of.model);
    to.number("status", of.status);
    to.text("outcome", to_string(of.ending));
    to.text("upstream", of.upstream);
    to.text("reason", of.reason);
    to.number("attempts", of.effort.attempts);
    to.number("duration_s", fmt::format("{:.6f}", in_seconds(of.total)));
    to.text("conclusion", conclusion_of(of));
}

std::string journal_json(const kept_request& of) {
    std::string out = "[";
    for (const auto& one : of.journal) {
        if (out.size() > 1) out += ',';
        object event;
        event.number("at_s", fmt::format("{:.6f}", in_seconds(one.after)));
        const happening_words words = words_of(one.what);
        event.text("event", words.name);
        event.text("why", words.why);
        if (one.attempt != 0) event.number("attempt", one.attempt);
        if (one.where >= 0) {
            event.text("upstream", of.endpoints[static_cast<std::size_t>(one.where)].upstream);
            event.text("endpoint", of.endpoints[static_cast<std::size_t>(one.where)].label);
        }
        if (one.key >= 0) event.text("credential", of.keys[static_cast<std::size_t>(one.key)]);
        if (const auto* launched = std::get_if<happened::launched>(&one.what))
            event.text("kind", to_string(launched->kind));
        if (const auto* over = std::get_if<happened::ended>(&one.what)) {
            if (over->status != 0) event.number("status", over->status);
            event.seconds("duration_s", over->took);
            event.seconds("silent_s", over->silent);
        }
        if (one.times > 1) event.number("times", one.times);
        out += event.end();
    }
    return out += ']';
}

} // namespace

std::string conclusion_of(const kept_request& of) {
    const std::string why = of.reason.empty() ? std::string{} : fmt::format(" ({})", of.reason);
    const std::string by = of.upstream.empty() ? std::string{} : " by " + of.upstream;
    switch (of.ending) {
    case request_ending::ok: return fmt::format("Answered with {}{}.", of.status, by);
    case request_ending::rerouted:
        return fmt::format("Answered with {}{}, which is not the first choice.", of.status, by);
    case request_ending::retried:
        return fmt::format("Answered with {}{}, in {} attempts.", of.status, by, of.effort.attempts);
    case request_ending::hedged: return fmt::format("Answered with {}{}: the hedge was quicker.", of.status, by);
    case request_ending::failed_over:
        return fmt::format("Answered with {}{}, which took over from the one asked first.", of.status, by);
    case request_ending::degraded:
        if (!of.degraded) return fmt::format("Answered with {}, in part: see the parts.", of.status);
        return fmt::format("Answered with {} by a step of the fallback: {}{}{}.", of.status, to_string(of.degraded_by),
                           of.degraded_route.empty() ? "" : " " + of.degraded_route, why);
    case request_ending::upstream_error:
        return fmt::format("The error of {} was passed on, with status {}{}.",
                           of.upstream.empty() ? std::string_view{"the upstream"} : std::string_view{of.upstream},
                           of.status, why);
    case request_ending::proxy_error:
        return fmt::format("Answered with {}, an error of the proxy's own{}: no upstream had an answer that could be "
                           "passed on.",
                           of.status, why);
    case request_ending::rejected: return fmt::format("Refused with {}{}: nothing was sent upstream.", of.status, why);
    case request_ending::truncated:
        if (of.ended == stream_end::upstream_error)
            return fmt::format("The answer{} began with {} and broke off: the upstream told of an error inside it.", by,
                               of.status);
        return fmt::format("The answer{} began with {} and broke off{}{}.", by, of.status,
                           of.proxy_error.empty() ? "" : ": ", cause_of(of.proxy_error));
    case request_ending::client_cancelled: break;
    }
    const std::string silent = of.silent > duration::zero() && !of.upstream.empty()
                                   ? fmt::format("; {} had been silent for {}", of.upstream, span_of(of.silent))
                                   : std::string{};
    const std::string_view when = of.left == departure::before_attempt ? "before anything was sent upstream"
                                  : of.left == departure::unanswered   ? "while no answer had come"
                                                                       : "in the middle of its answer";
    return fmt::format("The client left after {}, {}{}.", span_of(of.total), when, silent);
}

std::vector<told_event> story_of(const kept_request& of) {
    std::vector<told_event> told;
    const bool refused = std::any_of(of.journal.begin(), of.journal.end(), [](const auto& one) {
        return std::holds_alternative<happened::passed_over>(one.what);
    });
    if (of.ending == request_ending::rerouted && !refused)
        told.push_back({{}, "The upstream that comes first in calm is asked second for now: it was silent, or slow."});
    for (std::size_t place = 0; place < of.journal.size(); ++place) {
        const auto& one = of.journal[place];
        if (of.left_out > 0 && place == of.left_out_at)
            told.push_back({one.after, fmt::format("({} more events are left out here.)", of.left_out)});
        if (std::string sentence = std::visit(teller{of, one}, one.what); !sentence.empty())
            told.push_back({one.after, std::move(sentence)});
    }
    const bool unjudged = std::any_of(of.journal.begin(), of.journal.end(), [](const auto& one) {
        const auto* taken = std::get_if<happened::committed>(&one.what);
        return taken != nullptr && taken->why == "first_answer";
    });
    if (of.ending == request_ending::upstream_error && unjudged && !told.empty())
        told.push_back({told.back().after, "It was passed on as it came: with `retry: off`, or where no further "
                                           "attempt is possible, nothing is held back."});
    // Told in their order; what was noted behind another may have been timed a moment before it.
    for (std::size_t at = 1; at < told.size(); ++at) told[at].after = std::max(told[at].after, told[at - 1].after);
    return told;
}

std::string story_of_nobody(const kept_request& of, std::size_t columns) {
    std::string out;
    append_wrapped(out, "", printable(conclusion_of(of)), columns);
    out += '\n';
    for (const told_event& each : story_of(of))
        append_wrapped(out, fmt::format("{:>9.3f} s  ", in_seconds(each.after)), printable(each.sentence), columns);
    if (!of.parts.empty()) append_wrapped(out, "    parts: ", printable(of.parts), columns);
    if (!of.journal.empty() || !of.parts.empty()) out += '\n';
    append_wrapped(out, "", times_of(of), columns);
    return out;
}

std::string story_text(const kept_request& of, std::size_t columns) {
    std::string out;
    const std::string id = of.id.empty() ? std::string{} : " " + of.id;
    append_wrapped(out, "", printable(fmt::format("Request{}: {} {}", id, of.method, of.path)), columns);
    std::string about = time_text(of.started);
    const auto add = [&](std::string_view name, std::string_view value) {
        if (!value.empty()) about += fmt::format(", {} {}", name, value);
    };
    add("route", of.route.empty() ? "none" : of.route);
    add("part of", of.part_of);
    add("model", of.model);
    add("client", of.client_name.empty() ? of.client : fmt::format("'{}' at {}", of.client_name, of.client));
    if (of.credential) add("credential", fmt::format("{:016x}", *of.credential));
    add("trace", of.trace_id);
    append_wrapped(out, "", printable(about), columns);
    out += '\n';
    return out + story_of_nobody(of, columns);
}

std::string wrapped(std::string_view text, std::size_t columns) {
    std::string out;
    append_wrapped(out, "", printable(text), columns);
    return out;
}

std::string summary_json(const kept_request& of, bool with_tries) {
    object to;
    fill_summary(to, of);
    if (with_tries) to.raw("tries", tries_json(of));
    return to.end();
}

std::string story_json(const kept_request& of) {
    object to;
    fill_summary(to, of);
    to.text("trace_id", of.trace_id);
    to.text("upstream_request_id", of.upstream_request_id);
    to.text("client", of.client);
    if (!of.client_name.empty()) to.text("client_name", of.client_name);
    if (of.credential) to.text("credential", fmt::format("{:016x}", *of.credential));
    to.text("upstream_model", of.upstream_model);
    to.text("proxy_error", of.proxy_error);
    if (of.denied != denied_reason::none) to.text("denied", to_string(of.denied));
    if (of.ended != stream_end::none) to.text("stream_end", to_string(of.ended));
    if (of.coalesced != coalesce_role::none) to.text("coalesced", to_string(of.coalesced));
    if (of.degraded) to.text("degraded", to_string(of.degraded_by));
    if (of.ending == request_ending::client_cancelled) to.text("left", to_string(of.left));
    to.raw("stream", of.stream ? "true" : "false");
    to.seconds("first_byte_s", of.first_byte);
    to.seconds("first_token_s", of.first_token);
    to.seconds("queue_s", of.effort.queued);
    to.seconds("held_s", of.effort.held);
    to.seconds("pace_s", of.effort.paced);
    to.seconds("upload_s", of.effort.uploading);
    to.seconds("lost_s", of.lost);
    to.seconds("pause_s", of.paused);
    to.seconds("silent_s", of.silent);
    to.seconds("overhead_s", of.overhead);
    to.number("bytes_in", of.bytes_in);
    to.number("bytes_out", of.bytes_out);
    if (!of.parts.empty()) to.raw("parts", of.parts);
    std::string story = "[";
    for (const told_event& each : story_of(of)) {
        if (story.size() > 1) story += ',';
        object line;
        line.number("at_s", fmt::format("{:.6f}", in_seconds(each.after)));
        line.text("says", each.sentence);
        story += line.end();
    }
    to.raw("story", story + ']');
    to.raw("tries", tries_json(of));
    to.raw("journal", journal_json(of));
    if (of.left_out > 0) to.number("left_out", of.left_out);
    return to.end();
}

} // namespace evenkeel::telemetry
