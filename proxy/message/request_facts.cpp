#include "proxy/message/request_facts.hpp"

#include "proxy/message/client_request.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/reading/dialect_of.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/wire/deterministic.hpp"
#include "proxy/wire/find_word.hpp"

#include <string>
#include <string_view>

namespace evenkeel::request {

namespace {
// Of a longer body that says `"stream": true` near one of its ends, whose member that is is not looked for: it would
// cost more than all else that is done for such a request. (chosen)
constexpr std::size_t parsed_for_stream = 16 * 1024;
} // namespace

template <class Value, class Read>
const Value& request_facts::once(read_once<Value>& of, Read read) const {
    if (!of.stands) {
        of.stands = request_.body.complete();
        of.value.emplace(read());
    }
    return *of.value;
}

const client_hints& request_facts::hints() const {
    if (!hints_) hints_ = read_client_hints(*request_.came.head);
    return *hints_;
}

const wire::call* request_facts::called() const {
    if (!called_) called_ = call_of_path(request_.route.get(), request_.came.head->path);
    return *called_;
}

wire::dialect request_facts::dialect() const {
    const config::route* const route = request_.route.get();
    if (route == nullptr || route->upstreams.empty()) return wire::dialect_of_path(request_.came.head->path);
    return dialect_of(*route->upstreams.front(), called());
}

bool request_facts::accepts_events() const {
    if (!accepts_events_) {
        const wire::field* const accept = request_.came.head->find(wire::field_id::accept);
        static constexpr std::string_view events = "text/event-stream";
        accepts_events_ = accept != nullptr && accept->value.size() >= events.size() &&
                          accept->value.find(events) != std::string_view::npos;
    }
    return *accepts_events_;
}

const wire::json_members& request_facts::members() const {
    return once(members_, [&] { return wire::find_members(request_.body.text().view()); });
}

const body_ends& request_facts::ends() const {
    return once(ends_, [&] { return read_ends(request_.body.text().view(), request_.body.framing().length); });
}

std::optional<bool> request_facts::says_stream() const {
    const body_ends& found = ends();
    if (!request_.body.whole()) return found.stream;            // as far as it is here
    const bool by_default = dialect() == wire::dialect::ollama; // then it matters who says that it is not wanted
    if (found.all && !found.perhaps_stream && !by_default) return found.stream;
    if (!found.all && !members_.stands) {
        const shared_bytes body = request_.body.text();
        if (found.perhaps_stream && body.size() > parsed_for_stream) return true;
        if (!found.perhaps_stream && !wire::has_word(body.view(), R"("stream")", 1)) return std::nullopt;
    }
    return members().stream;
}

bool request_facts::wants_stream() const {
    return once(wants_stream_, [&] {
        if ((called() != nullptr && called()->streams) || accepts_events()) return true;
        if (const auto said = says_stream()) return *said;
        return dialect() == wire::dialect::ollama; // streams unless told not to
    });
}

bool request_facts::wants_events() const {
    switch (dialect()) {
    case wire::dialect::generic:
    case wire::dialect::ollama: return false; // no error frame that its clients would understand
    case wire::dialect::gemini:
        return called() != nullptr && called()->streams &&
               request_.came.head->query.find("alt=sse") != std::string_view::npos;
    case wire::dialect::openai:
    case wire::dialect::anthropic: break;
    }
    return accepts_events() || (wants_stream() && members().stream.value_or(false));
}

const request_shape& request_facts::shape() const {
    return once(shape_, [&] {
        request_shape shape = ends().shape;
        shape.stream = wants_stream();
        return shape;
    });
}

bool request_facts::is_deterministic() const {
    return once(deterministic_, [&] { return wire::is_deterministic(request_.body.text().view()); });
}

bool request_facts::may_repeat(const wire::call* as) const {
    return is_replay_eligible(*request_.came.head, as, [&] {
        return once(stores_nothing_,
                    [&] { return request_.body.whole() && !wire::stores_something(request_.body.text().view()); });
    });
}

bool request_facts::may_repeat(const config::route& asked) const {
    if (asked.retry.replay != replay_mode::automatic) return asked.retry.replay == replay_mode::always;
    const config::upstream& first = *asked.upstreams.front();
    std::string room;
    const std::string_view target = upstream_target(asked, first, *request_.came.head, room);
    return may_repeat(call_of_target(target, base_of(asked, first)));
}

std::optional<std::uint64_t> request_facts::caller() const {
    return once(caller_, [&]() -> std::optional<std::uint64_t> {
        const wire::request_head& head = *request_.came.head;
        const config::credential_rules& rules = request_.route->credentials;
        if (request_.body.whole()) return principal_of(head, rules, request_.body.text().view());
        if (may_be_json(head) && !shows_key(head, rules)) return std::nullopt;
        return principal_of(head, rules, {});
    });
}

} // namespace evenkeel::request
