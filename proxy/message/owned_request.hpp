#pragma once
// A request that depends on no client connection: a copy of a client's, with its head and body in memory of its own,
// its own account and its own cancel source. A part of a fan-out is one, and so is what a coalesced flight sends.
// Stages take it like any other; whoever owns it lets it go only when they have returned and nothing holds its body
// (request_body::released).

#include "proxy/message/client_request.hpp"

#include <list>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::request {

class owned_request {
public:
    // `body` may be shared with others, the client's request among them. Of that what came is copied, and nothing else.
    owned_request(net::loop& worker, buffer_pool& buffers, const client_request& of, shared_bytes body);
    owned_request(const owned_request&) = delete;
    owned_request& operator=(const owned_request&) = delete;

    [[nodiscard]] client_request& get() noexcept { return request_; }

    // Changes of the head, before it is served and before a fact of it is asked for that they would change. The query
    // stays with another path.
    void set_path(std::string_view path);
    // Every field of that name, if any is there.
    void set_field(std::string_view name, std::string value);
    void drop_field(wire::field_id id);

private:
    void adopt(const wire::request_head& of);
    [[nodiscard]] std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

    std::list<std::string> texts_; // what the views of head_ point to
    wire::request_head head_;
    client_request request_;
};

} // namespace evenkeel::request
