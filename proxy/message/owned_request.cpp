#include "proxy/message/owned_request.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/gate.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

namespace evenkeel::request {

owned_request::owned_request(net::loop& worker, buffer_pool& buffers, const client_request& of, shared_bytes body)
    : request_({.settings = of.came.settings,
                .policies = of.came.policies,
                .head = &head_,
                .client_address = keep(std::string{of.came.client_address}),
                .client = of.came.client,
                .id = of.came.id,
                .received = of.came.received,
                .started = of.came.started},
               worker, buffers) {
    // What the gate has let through once it lets through again, now with views into memory of ours.
    const std::string_view text = keep(std::string{of.came.head->raw});
    std::size_t scanned = 0;
    const auto read = wire::read_request_head(text, {.max_head_bytes = text.size()}, scanned, head_);
    if (read.is != wire::head_result::state::complete)
        throw std::logic_error("a head that was accepted once is refused");
    // Its body lies here whole, however it was framed; where there was none, there is none.
    head_.body = head_.body.kind == wire::body_kind::none && body.empty()
                     ? wire::body_framing{}
                     : wire::body_framing{wire::body_kind::length, body.size()};
    head_.expect_continue = false;
    request_.body.begin_whole(head_.body, std::move(body));
    adopt(*of.came.head);
    request_.account.trace = of.account.trace.child();
}

// A part of a fan-out has been changed since its head came.
void owned_request::adopt(const wire::request_head& of) {
    const auto same = [](const wire::field& a, const wire::field& b) { return a.name == b.name && a.value == b.value; };
    if (head_.target == of.target &&
        std::equal(head_.fields.begin(), head_.fields.end(), of.fields.begin(), of.fields.end(), same))
        return;
    head_.target = keep(std::string{of.target});
    head_.path = head_.target.substr(0, of.path.size());
    head_.query = of.query.empty() ? std::string_view{} : head_.target.substr(of.path.size() + 1);
    head_.fields.clear();
    for (const wire::field& one : of.fields)
        head_.fields.push_back({keep(std::string{one.name}), keep(std::string{one.value}), one.id});
}

void owned_request::set_path(std::string_view path) {
    std::string target{path};
    if (head_.target.size() > head_.path.size()) target += head_.target.substr(head_.path.size()); // '?' and the query
    head_.target = keep(std::move(target));
    head_.path = head_.target.substr(0, path.size());
    head_.query = head_.target.size() > path.size() ? head_.target.substr(path.size() + 1) : std::string_view{};
}

void owned_request::set_field(std::string_view name, std::string value) {
    const std::string_view kept = keep(std::move(value));
    for (wire::field& one : head_.fields) {
        if (wire::iequals(one.name, name)) one.value = kept;
    }
}

void owned_request::drop_field(wire::field_id id) {
    std::erase_if(head_.fields, [&](const wire::field& one) { return one.id == id; });
}

} // namespace evenkeel::request
