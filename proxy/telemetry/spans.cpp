#include "proxy/telemetry/spans.hpp"

#include "proxy/wire/calls.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace evenkeel::telemetry {

namespace {
using namespace std::string_view_literals;
using config::genai_conventions;

// gen_ai.operation.name of what this path calls; empty: it is no inference.
std::string_view operation_of(std::string_view path) noexcept {
    const wire::call* const called = wire::find_call(path);
    if (called == nullptr || called->tokens == wire::token_use::none) return {};
    if (called->embeds) return "embeddings";
    if (called->tokens != wire::token_use::writes) return {};
    if (called->speaks == wire::dialect::gemini) return "generate_content";
    const bool completes = called->shape.ends_with("completions") && called->shape != "chat/completions";
    return completes || called->shape.ends_with("complete") || called->shape.ends_with("generate") ? "text_completion"
                                                                                                   : "chat";
}

// gen_ai.provider.name: by whom the host is run, else whose dialect the call is of.
std::string_view provider_of(std::string_view host, std::string_view path) noexcept {
    constexpr std::array known{
        std::pair{"openai.azure.com"sv, "azure.ai.openai"sv},
        std::pair{"inference.ai.azure.com"sv, "azure.ai.inference"sv},
        std::pair{"openai.com"sv, "openai"sv},
        std::pair{"anthropic.com"sv, "anthropic"sv},
        std::pair{"deepseek.com"sv, "deepseek"sv},
        std::pair{"aiplatform.googleapis.com"sv, "gcp.vertex_ai"sv},
        std::pair{"googleapis.com"sv, "gcp.gemini"sv},
        std::pair{"mistral.ai"sv, "mistral_ai"sv},
        std::pair{"amazonaws.com"sv, "aws.bedrock"sv},
        std::pair{"groq.com"sv, "groq"sv},
        std::pair{"x.ai"sv, "x_ai"sv},
        std::pair{"cohere.com"sv, "cohere"sv},
        std::pair{"cohere.ai"sv, "cohere"sv},
        std::pair{"perplexity.ai"sv, "perplexity"sv},
        std::pair{"moonshot.ai"sv, "moonshot_ai"sv},
        std::pair{"moonshot.cn"sv, "moonshot_ai"sv},
    };
    for (const auto& [domain, name] : known) {
        if (!host.ends_with(domain)) continue;
        const char before = host.size() == domain.size() ? '.' : host[host.size() - domain.size() - 1];
        if (before == '.' || before == '-') return name;
    }
    switch (wire::dialect_of_path(path)) {
    case wire::dialect::openai: return "openai";
    case wire::dialect::anthropic: return "anthropic";
    case wire::dialect::gemini: return "gcp.gemini";
    case wire::dialect::ollama: return "ollama";
    case wire::dialect::generic: break;
    }
    return "_OTHER";
}

// A method that is not known is a word of its client's.
std::string_view method_of(std::string_view method) noexcept {
    constexpr std::array known{"GET"sv,     "HEAD"sv,    "POST"sv,  "PUT"sv,  "DELETE"sv,
                               "CONNECT"sv, "OPTIONS"sv, "TRACE"sv, "PATCH"sv};
    const auto* const found = std::find(known.begin(), known.end(), method);
    return found != known.end() ? *found : "_OTHER"sv;
}

// `text` outlives them.
void add(attributes& to, std::string_view name, std::string_view text) {
    if (!text.empty()) to.push_back({name, text});
}
void add_made(attributes& to, std::string_view name, std::string&& text) {
    if (!text.empty()) to.push_back({name, std::move(text)});
}
void add_count(attributes& to, std::string_view name, std::uint64_t count) {
    to.push_back({name, static_cast<std::int64_t>(count)});
}
void add_if_any(attributes& to, std::string_view name, std::uint64_t count) {
    if (count != 0) add_count(to, name, count);
}
void add_seconds(attributes& to, std::string_view name, duration length) {
    if (length > duration::zero()) to.push_back({name, in_seconds(length)});
}

constexpr std::size_t usual_attributes = 20;

struct attempt_story {
    attempt_number number = 0;
    std::int16_t where = -1, key = -1;
    happened::launched as{};
    duration began{}, ended{};
    bool committed = false, over = false;
    happened::ended how{};
    std::size_t place = 0; // of its span
};

class span_maker {
public:
    span_maker(const traced_request& of, genai_conventions names) : it_(of.kept), trace_(of.trace), names_(names) {}

    std::vector<span> tell() {
        collect_attempts();
        operation_ = operation_of(it_.path);
        spans_.push_back(own());
        const bool infers = !operation_.empty() && !attempts_.empty();
        if (infers) spans_.push_back(inference());
        const std::uint64_t above = infers ? trace_.inner_span() : trace_.span;
        for (attempt_story& one : attempts_) {
            one.place = spans_.size();
            spans_.push_back(attempt(one, above));
        }
        tell_events(infers);
        return std::move(spans_);
    }

private:
    [[nodiscard]] std::int64_t clock(duration after) const {
        return (it_.started + std::clamp(after, duration::zero(), it_.total)).time_since_epoch().count();
    }
    [[nodiscard]] const kept_request::endpoint* endpoint_of(std::int16_t where) const {
        return where < 0 ? nullptr : &it_.endpoints[static_cast<std::size_t>(where)];
    }
    [[nodiscard]] attempt_story* find(attempt_number number) {
        const auto found = std::find_if(attempts_.rbegin(), attempts_.rend(),
                                        [&](const attempt_story& one) { return one.number == number; });
        return number == 0 || found == attempts_.rend() ? nullptr : &*found;
    }

    void collect_attempts() {
        for (const kept_request::happening& each : it_.journal) {
            if (const auto* launched = std::get_if<happened::launched>(&each.what)) {
                attempts_.push_back({.number = each.attempt,
                                     .where = each.where,
                                     .key = each.key,
                                     .as = *launched,
                                     .began = each.after,
                                     .ended = it_.total});
            } else if (std::holds_alternative<happened::committed>(each.what)) {
                if (attempt_story* const its = find(each.attempt)) its->committed = true;
            } else if (const auto* over = std::get_if<happened::ended>(&each.what)) {
                attempt_story* const its = find(each.attempt);
                if (its == nullptr) continue;
                its->over = true;
                its->how = *over;
                its->ended = std::min(its->began + over->took, it_.total);
            }
        }
    }

    // What kind of error this request is; empty: none of whoever runs this proxy.
    [[nodiscard]] std::string error_of_request() const {
        if (it_.ending == request_ending::truncated) return "truncated";
        if (it_.status < 500) return {};
        return it_.proxy_error.empty() ? std::to_string(it_.status) : it_.proxy_error;
    }

    [[nodiscard]] span own() const {
        span made{.id = trace_.span,
                  .parent = trace_.parent,
                  .parent_remote = trace_.parent_remote,
                  .name = std::string{method_of(it_.method)},
                  .is = it_.part_of.empty() ? span::kind::server : span::kind::internal,
                  .begin = clock({}),
                  .end = clock(it_.total)};
        if (!it_.route.empty()) made.name += " " + it_.route;
        attributes& to = made.with;
        to.reserve(usual_attributes);
        add(to, "http.request.method", method_of(it_.method));
        add(to, "http.route", it_.route);
        add(to, "url.path", it_.path);
        add(to, "client.address", it_.client);
        if (it_.status != 0) add_count(to, "http.response.status_code", static_cast<std::uint64_t>(it_.status));
        if (std::string error = error_of_request(); !error.empty()) {
            made.ended = span::status::error;
            add_made(to, "error.type", std::move(error));
        }
        add(to, "evenkeel.request_id", it_.id);
        add(to, "evenkeel.upstream_request_id", it_.upstream_request_id);
        add(to, "evenkeel.outcome", to_string(it_.ending));
        add(to, "evenkeel.upstream", it_.upstream);
        add(to, "evenkeel.reason", it_.reason);
        add(to, "evenkeel.part_of", it_.part_of);
        add_count(to, "evenkeel.attempts", static_cast<std::uint64_t>(std::max(it_.effort.attempts, 0)));
        if (it_.ending == request_ending::client_cancelled) add(to, "evenkeel.departure", to_string(it_.left));
        if (it_.ended != stream_end::none) add(to, "evenkeel.stream_end", to_string(it_.ended));
        if (it_.coalesced != coalesce_role::none) add(to, "evenkeel.coalesced", to_string(it_.coalesced));
        if (it_.degraded) add(to, "evenkeel.degraded", to_string(it_.degraded_by));
        if (it_.probe) to.push_back({"evenkeel.probe", true});
        // It was not drawn, and is here because it is disturbed; what its caller tells of the trace may not be.
        if (!trace_.sampled()) to.push_back({"evenkeel.sampled_late", true});
        add_seconds(to, "evenkeel.first_byte_seconds", it_.first_byte);
        add_seconds(to, "evenkeel.queued_seconds", it_.effort.queued);
        add_seconds(to, "evenkeel.held_seconds", it_.effort.held);
        add_seconds(to, "evenkeel.pace_seconds", it_.effort.paced);
        add_seconds(to, "evenkeel.uploading_seconds", it_.effort.uploading);
        add_seconds(to, "evenkeel.paused_seconds", it_.paused);
        add_seconds(to, "evenkeel.lost_seconds", it_.lost);
        add_seconds(to, "evenkeel.overhead_seconds", it_.overhead);
        add_seconds(to, "evenkeel.silent_seconds", it_.silent);
        for (const kept_request::happening& each : it_.journal) {
            if (const auto* joined = std::get_if<happened::joined>(&each.what); joined != nullptr && joined->leader)
                made.links.push_back({joined->leader, {{"evenkeel.link", "coalesced"sv}}});
        }
        return made;
    }

    void add_usage(attributes& to) const {
        const bill& took = it_.effort.served;
        const bool new_names = names_ != genai_conventions::v1_41, old_names = names_ != genai_conventions::v0_1;
        if (took.all() != 0) {
            add_count(to, "gen_ai.usage.input_tokens", took.input());
            add_count(to, "gen_ai.usage.output_tokens", took.output());
            add_if_any(to, "gen_ai.usage.cache_read.input_tokens", took.at(token_kind::cached_read));
            if (new_names) add_if_any(to, "gen_ai.usage.cache_write.input_tokens", took.at(token_kind::cached_write));
            if (old_names)
                add_if_any(to, "gen_ai.usage.cache_creation.input_tokens", took.at(token_kind::cached_write));
            if (new_names) add_if_any(to, "gen_ai.usage.reasoning.output_tokens", took.at(token_kind::reasoning));
        }
        add_if_any(to, "evenkeel.usage.lost_tokens", it_.effort.lost.all());
        if (took.estimated || it_.effort.lost.estimated) to.push_back({"evenkeel.usage.estimated", true});
        if (took.cost != 0) to.push_back({"evenkeel.cost", static_cast<double>(took.cost) / 1e9});
        if (it_.effort.lost.cost != 0)
            to.push_back({"evenkeel.cost_lost", static_cast<double>(it_.effort.lost.cost) / 1e9});
    }

    [[nodiscard]] span inference() const {
        const attempt_story* answers = &attempts_.front();
        duration end = answers->ended;
        for (const attempt_story& one : attempts_) {
            if (one.committed) answers = &one;
            end = std::max(end, one.ended);
        }
        span made{.id = trace_.inner_span(),
                  .parent = trace_.span,
                  .name = std::string{operation_},
                  .is = span::kind::client,
                  .begin = clock(attempts_.front().began),
                  .end = clock(end)};
        if (!it_.model.empty()) made.name += " " + it_.model;
        attributes& to = made.with;
        to.reserve(usual_attributes);
        add(to, "gen_ai.operation.name", operation_);
        const auto* const where = endpoint_of(answers->where);
        add(to, "gen_ai.provider.name", provider_of(where != nullptr ? where->host : std::string_view{}, it_.path));
        add(to, "gen_ai.request.model", it_.model);
        add(to, "evenkeel.upstream_model", it_.upstream_model);
        add_server(to, where);
        if (names_ != genai_conventions::v1_41) {
            if (it_.stream) to.push_back({"gen_ai.request.stream", true});
            add_seconds(to, "gen_ai.response.time_to_first_chunk", it_.first_token);
        }
        add_usage(to);
        if (std::string error = error_of_request(); !error.empty()) {
            made.ended = span::status::error;
            add_made(to, "error.type", std::move(error));
        } else if (it_.status >= 400) {
            made.ended = span::status::error;
            add_made(to, "error.type", std::to_string(it_.status));
        }
        return made;
    }

    static void add_server(attributes& to, const kept_request::endpoint* where) {
        if (where == nullptr || where->host.empty()) return;
        add(to, "server.address", where->host);
        add_count(to, "server.port", where->port);
    }

    [[nodiscard]] span attempt(const attempt_story& one, std::uint64_t above) const {
        span made{.id = one.as.span,
                  .parent = above,
                  .name = std::string{method_of(it_.method)},
                  .is = span::kind::client,
                  .begin = clock(one.began),
                  .end = clock(one.ended)};
        attributes& to = made.with;
        to.reserve(usual_attributes);
        add(to, "http.request.method", method_of(it_.method));
        const auto* const where = endpoint_of(one.where);
        add_server(to, where);
        if (one.number > 1) add_count(to, "http.request.resend_count", one.number - 1U);
        if (one.how.status != 0) add_count(to, "http.response.status_code", one.how.status);
        if (where != nullptr) {
            add(to, "evenkeel.upstream", where->upstream);
            add(to, "evenkeel.endpoint", where->label);
        }
        if (one.key >= 0) add(to, "evenkeel.credential", it_.keys[static_cast<std::size_t>(one.key)]);
        add_count(to, "evenkeel.attempt.number", one.number);
        add(to, "evenkeel.attempt.kind", to_string(one.as.kind));
        add(to, "evenkeel.attempt.why", one.as.why);
        if (one.as.probe) to.push_back({"evenkeel.attempt.probe", true});
        if (one.committed) to.push_back({"evenkeel.attempt.committed", true});
        if (!one.over) {
            add(to, "evenkeel.attempt.result", "under_way");
        } else {
            add(to, "evenkeel.attempt.result", to_string(one.how.result));
            add(to, "evenkeel.attempt.cause", one.how.why);
            add_seconds(to, "evenkeel.attempt.silent_seconds", one.how.silent);
            add_spending(to, one.how.spent);
            if (one.how.result != attempt_result::success && one.how.result != attempt_result::cancelled) {
                made.ended = span::status::error;
                add_made(to, "error.type",
                         one.how.status >= 400  ? std::to_string(one.how.status)
                         : !one.how.why.empty() ? std::string{one.how.why}
                                                : std::string{to_string(one.how.result)});
            }
        }
        for (const attempt_story& other : attempts_) {
            const bool beside = other.number < one.number && other.began <= one.began && one.began < other.ended;
            if (beside && other.as.span != 0)
                made.links.push_back(
                    {{trace_.trace_high, trace_.trace_low, other.as.span}, {{"evenkeel.link", "launched_beside"sv}}});
        }
        return made;
    }

    static void add_spending(attributes& to, const spending& spent) {
        if (!spent.tokens.any()) return;
        bill all;
        all.add(spent);
        add(to, "evenkeel.usage.outcome", to_string(spent.became));
        add_count(to, "evenkeel.usage.input_tokens", all.input());
        add_count(to, "evenkeel.usage.output_tokens", all.output());
        if (all.estimated) to.push_back({"evenkeel.usage.estimated", true});
        if (all.cost != 0) to.push_back({"evenkeel.cost", static_cast<double>(all.cost) / 1e9});
    }

    // What happens to a span happens within it: attempts are timed by another clock than what becomes of them.
    void add_event(std::size_t place, span_event&& made, bool infers) {
        spans_[place].end = std::max(spans_[place].end, made.at);
        if (infers && place > 0) spans_[1].end = std::max(spans_[1].end, made.at);
        spans_[place].events.push_back(std::move(made));
    }

    void tell_events(bool infers) {
        for (const kept_request::happening& each : it_.journal) {
            if (std::holds_alternative<happened::launched>(each.what) ||
                std::holds_alternative<happened::ended>(each.what))
                continue; // those are spans
            const happening_words words = words_of(each.what);
            span_event made{.at = clock(each.after), .name = "evenkeel." + std::string{words.name}};
            add(made.with, "evenkeel.reason", words.why);
            if (const auto* queued = std::get_if<happened::queued>(&each.what))
                add_seconds(made.with, "evenkeel.waited_seconds", queued->waited);
            if (const auto* held = std::get_if<happened::held>(&each.what))
                add_seconds(made.with, "evenkeel.waited_seconds", held->waited);
            if (const auto* went = std::get_if<happened::paced>(&each.what))
                add_seconds(made.with, "evenkeel.waited_seconds", went->waited);
            attempt_story* const its = find(each.attempt);
            const auto* const where = its == nullptr ? endpoint_of(each.where) : nullptr;
            if (where != nullptr) add(made.with, "evenkeel.upstream", where->upstream);
            if (each.times > 1) add_count(made.with, "evenkeel.times", each.times);
            add_event(its != nullptr ? its->place : 0, std::move(made), infers);
        }
        if (it_.first_token > duration::zero())
            add_event(infers ? 1 : 0, {clock(it_.first_token), "evenkeel.first_token", {}}, infers);
        if (it_.left_out > 0) add_count(spans_[0].with, "evenkeel.journal_left_out", it_.left_out);
    }

    const kept_request& it_;
    const trace_context& trace_;
    genai_conventions names_;
    std::string_view operation_;
    std::vector<attempt_story> attempts_;
    std::vector<span> spans_;
};
} // namespace

std::vector<span> spans_of(const traced_request& of, genai_conventions names) { return span_maker(of, names).tell(); }

std::size_t count_spans(const request_account& of) noexcept {
    std::size_t attempts = 0;
    for (const journal::entry& one : of.journal) attempts += std::holds_alternative<happened::launched>(one.what);
    return 1 + attempts + (attempts != 0 && !operation_of(of.path).empty() ? 1 : 0);
}

} // namespace evenkeel::telemetry
