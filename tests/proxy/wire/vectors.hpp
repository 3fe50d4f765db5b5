#pragma once
// Raw messages with the verdict that is expected of the wire room, by class of threat. Written for this project; the
// attack classes are the public ones (request smuggling, response splitting, field-name tricks, chunk grammar).

#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/gate.hpp"

#include <string>
#include <vector>

namespace evenkeel::test {

struct head_vector {
    std::string name;
    std::string bytes;
    wire::refusal why = wire::refusal::none; // none: accepted
    std::string parts;                       // what describe() says of an accepted head; not compared if empty
    bool head_request = false;               // responses: the request was HEAD
};

struct chunk_vector {
    std::string name;
    std::string bytes;
    wire::refusal why = wire::refusal::none;
    std::string body;     // of an accepted one, or what came before the refusal
    std::string rest;     // bytes behind the end, which the decoder must leave alone
    bool complete = true; // false: the decoder still waits at the end of `bytes`
};

[[nodiscard]] const std::vector<head_vector>& request_vectors();
[[nodiscard]] const std::vector<head_vector>& response_vectors();
[[nodiscard]] const std::vector<chunk_vector>& chunk_vectors();

// "POST /p?q host=a 1.1 length=5 keep [name: value|...]"
[[nodiscard]] std::string describe(const wire::request_head& head);
// "200 OK 1.1 chunked keep [name: value|...]"
[[nodiscard]] std::string describe(const wire::response_head& head);
[[nodiscard]] std::string describe(const wire::body_framing& body);

// Bytes as a C string literal would show them, cut at 400 characters.
[[nodiscard]] std::string printable(std::string_view bytes);

} // namespace evenkeel::test
