#include "proxy/message/request_facts.hpp"

#include "proxy/message/client_request.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/reading/dialect_of.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/wire/deterministic.hpp"
#include "proxy/wire/model_place.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace evenkeel::request {

template <class Value, class Read>
const Value& request_facts::once(read_once<Value>& of, Read read) const {
    const bool complete = request_.body.complete();
    const std::uint64_t here = request_.body.received();
    if (!of.stands && (complete || !of.value || of.of_bytes != here)) {
        of.value = read();
        of.of_bytes = here;
        of.stands = complete; // now, lest what could not be read counts as read
    }
    return *of.value;
}

const client_hints& request_facts::read_hints() const { return hints_.emplace(read_client_hints(*request_.came.head)); }

const wire::call* request_facts::look_up() const {
    return called_.emplace(call_of_path(request_.route.get(), request_.came.head->path));
}

wire::dialect request_facts::dialect() const {
    const config::route* const route = request_.route.get();
    if (route == nullptr || route->upstreams.empty()) return dialect_of(nullptr, request_.came.head->path);
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

const body_model& request_facts::model() const {
    return once(model_, [&]() -> body_model {
        const wire::json_members& found = members();
        if (found.has_model) return {body_model::written::json, found.model, found.model_offset, found.model_size};
        const wire::field* const type = request_.came.head->find(wire::field_id::content_type);
        if (found.is_object || type == nullptr) return {};
        const shared_bytes body = request_.body.text();
        auto in_form = wire::find_model_in_form(type->value, body.view());
        if (!in_form) return {};
        return {body_model::written::form, std::move(in_form->name), in_form->offset, in_form->size};
    });
}

// Of the outermost object alone: what a member of something in it says is content.
void request_facts::tell_model(std::string& into) const {
    const wire::call* const as = called();
    const auto of_path = [&] {
        if (auto found = wire::find_model_in_path(request_.came.head->path)) into = std::move(found->name);
    };
    if (as != nullptr && as->shape.find('{') != std::string_view::npos) {
        of_path();
        if (!into.empty()) return;
    }
    if (const body_ends& found = ends(); found.model_size > 0) {
        const shared_bytes body = request_.body.text();
        const std::string_view named = body.view().substr(found.model_at, found.model_size);
        const bool whole = request_.body.whole();
        const bool plain = named.find('\\') == std::string_view::npos;
        if (plain && is_outermost(body.view(), found.model_name_at, whole)) {
            into = named;
            return;
        }
        if (whole) { // hardly ever
            into = model().name;
            return;
        }
    }
    if (as != nullptr) of_path();
}

const body_ends& request_facts::ends() const {
    return once(ends_, [&] { return read_ends(request_.body.text().view(), request_.body.framing().length); });
}

std::optional<bool> request_facts::says_stream() const {
    if (!request_.body.whole()) return ends().stream; // as far as it is here
    if (members_.stands) return members_.value->stream;
    // The usual short body says no and nowhere yes, all of it written alike: then it does not matter which member is
    // whose.
    if (const body_ends& found = ends(); found.all && found.stream && !found.any_stream && !streams_unless_told())
        return false;
    const shared_bytes body = request_.body.text();
    const stream_member found = find_stream(body.view());
    return found.sure ? found.says : members().stream;
}

bool request_facts::wants_stream() const {
    return once(wants_stream_, [&] {
        if (called() != nullptr && called()->streams) return true;
        if (const auto said = says_stream())
            return *said; // a list in Accept names what may come, not what is asked for
        if (accepts_events()) return true;
        return request_.body.complete() && streams_unless_told(); // else it may be said at the end
    });
}

bool request_facts::streams_unless_told() const {
    if (called() != nullptr) return called()->streams_unless_told;
    return dialect() == wire::dialect::ollama && request_.came.head->is_post();
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
    const auto said = says_stream();
    return said ? *said : accepts_events();
}

bool request_facts::is_form() const {
    const wire::field* const type = request_.came.head->find(wire::field_id::content_type);
    return type != nullptr && wire::begins_with(type->value, "multipart/");
}

// Where no member of the body names it: in the path, or in a form that is all here.
std::uint64_t request_facts::model_elsewhere() const {
    if (called() == nullptr) return 0;
    if (const auto named = wire::find_model_in_path(request_.came.head->path)) return model_hash(named->name);
    if (!request_.body.whole() || !is_form()) return 0;
    const body_model& named = model();
    return named.as == body_model::written::form ? model_hash(named.name) : 0;
}

const request_shape& request_facts::shape() const {
    return once(shape_, [&] {
        request_shape shape = ends().shape;
        shape.stream = wants_stream();
        if (shape.model == 0) shape.model = model_elsewhere();
        return shape;
    });
}

bool request_facts::is_deterministic() const {
    return once(deterministic_, [&] { return wire::is_deterministic(request_.body.text().view()); });
}

bool request_facts::may_repeat(const wire::call* as) const {
    return is_replay_eligible(*request_.came.head, as, [&] { return stores_nothing(); });
}

bool request_facts::stores_nothing() const {
    return once(stores_nothing_,
                [&] { return request_.body.whole() && !wire::stores_something(request_.body.text().view()); });
}

bool request_facts::only_computes(const wire::call* as) const {
    if (as == nullptr || as->dear || !request_.came.head->is_post()) return false;
    return as->effect == wire::call_effect::computes ||
           (as->effect == wire::call_effect::may_store && stores_nothing());
}

bool request_facts::may_repeat(const config::route& asked) const {
    if (asked.retry.replay != replay_mode::automatic) return asked.retry.replay == replay_mode::always;
    const config::upstream& first = *asked.upstreams.front();
    std::string room;
    const std::string_view target = upstream_target(asked, first, *request_.came.head, room);
    return may_repeat(call_sent(asked, first, *request_.came.head, target));
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

std::optional<std::uint64_t> request_facts::caller_told() const {
    const wire::request_head& head = *request_.came.head;
    const config::credential_rules& rules = request_.route->credentials;
    if (!shows_key(head, rules) && !rules.names_body()) return std::nullopt;
    if (caller_.value) return *caller_.value;
    if (rules.names_body()) return std::nullopt;
    return principal_of(head, rules, {});
}

} // namespace evenkeel::request
