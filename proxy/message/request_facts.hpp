#pragma once
// What a request says, each fact read when it is first asked for and once: hints of its head, members of its body, what
// kind of call its path is. A fact of the body that is read while the body is still coming may be another one when more
// of it is here: it is read again then, and stands once the body has come.
//
// Part of a client_request; used on its worker only.

#include "config/settings.hpp"
#include "policies/endpoint_latency.hpp"
#include "proxy/reading/client_hints.hpp"
#include "proxy/reading/shape_of.hpp"
#include "proxy/wire/calls.hpp"
#include "proxy/wire/json_model.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace evenkeel::request {

struct client_request;

// Where a body names its model.
struct body_model {
    enum class written : unsigned char { nowhere, json, form } as = written::nowhere;
    std::string name{};
    std::size_t offset = 0; // of what is written, in the body
    std::size_t size = 0;
};

class request_facts {
public:
    explicit request_facts(const client_request& of) noexcept : request_(of) {}
    request_facts(const request_facts&) = delete;
    request_facts& operator=(const request_facts&) = delete;

    [[nodiscard]] const client_hints& hints() const { return hints_ ? *hints_ : read_hints(); }

    // Of the client's own route, whatever is asked in its place.
    [[nodiscard]] const wire::call* called() const { return called_ ? *called_ : look_up(); } // null: none that we know
    [[nodiscard]] wire::dialect dialect() const; // what its client is told an error in
    [[nodiscard]] bool accepts_events() const;   // its Accept names them
    [[nodiscard]] bool wants_stream() const;     // of any kind: by name, Accept, `stream: true`, or its dialect's way
    // ... server-sent events in particular, whose head may be given ahead of the answer.
    [[nodiscard]] bool wants_events() const;
    [[nodiscard]] const request_shape& shape() const; // as its latency depends on it

    // Of the outermost object of the body; empty where that is not whole, or no object.
    [[nodiscard]] const wire::json_members& members() const;
    [[nodiscard]] const body_model& model() const; // a member of JSON, or a field of a form
    // What its client calls the model, for those who tell: read where it is cheap. `into` is empty, and stays so where
    // it is told nowhere, or nowhere that was looked.
    void tell_model(std::string& into) const;
    [[nodiscard]] bool is_deterministic() const; // asks for the answer a model would give every time
    // Whether it may be sent again after it may have reached an upstream, as that call (repeatable.hpp).
    [[nodiscard]] bool may_repeat(const wire::call* as) const;
    // Sent as this call (null: none that we know) it leaves nothing behind, and is no dear one: a copy that nobody has
    // asked for may be sent, after it was answered.
    [[nodiscard]] bool only_computes(const wire::call* as) const;

    // ... to the first upstream of a route, as that route has it.
    [[nodiscard]] bool may_repeat(const config::route& asked) const;
    // Whose credentials it has (principal.hpp). Empty: not known, as the head shows no key (what several callers share
    // is none, as a cookie or an organisation) and the body, of which a member may be one, is not all here.
    [[nodiscard]] std::optional<std::uint64_t> caller() const;
    // ... for those who tell it, when the body may be gone. Empty also where it shows no credential at all.
    [[nodiscard]] std::optional<std::uint64_t> caller_told() const;

private:
    [[nodiscard]] bool stores_nothing() const;
    // Read of a body: stands once all of it has come.
    template <class Value>
    struct read_once {
        std::optional<Value> value{};
        std::uint64_t of_bytes = 0; // where it does not stand: it is read anew when more has come
        bool stands = false;
    };
    template <class Value, class Read>
    const Value& once(read_once<Value>& of, Read read) const;
    [[nodiscard]] const client_hints& read_hints() const;
    [[nodiscard]] const wire::call* look_up() const;
    [[nodiscard]] const body_ends& ends() const;
    [[nodiscard]] std::optional<bool> says_stream() const;
    [[nodiscard]] bool streams_unless_told() const;
    [[nodiscard]] bool is_form() const;
    [[nodiscard]] std::uint64_t model_elsewhere() const;

    const client_request& request_;
    mutable std::optional<client_hints> hints_;
    mutable std::optional<const wire::call*> called_;
    mutable std::optional<bool> accepts_events_;
    mutable read_once<body_ends> ends_;
    mutable read_once<request_shape> shape_;
    mutable read_once<wire::json_members> members_;
    mutable read_once<body_model> model_;
    mutable read_once<bool> wants_stream_, deterministic_, stores_nothing_;
    mutable read_once<std::optional<std::uint64_t>> caller_;
};

} // namespace evenkeel::request
