#pragma once
// The calls of the providers' APIs that we know, by dialect: method, shape of the whole path, and what sending it twice
// would do. One table, because four questions hang on it: may it be sent again (a call that computes may, one that
// leaves something behind may not), how are its errors written, is its answer a stream by its name, is it deterministic
// by nature.
//
// A path is taken for a call by its whole, never by how it ends: POST /v1/threads/t1/messages adds a message to a
// thread each time it is sent, and ends like Anthropic's /v1/messages, which computes. Yet the proxy often stands in
// front of a gateway, and what such a one puts in front of a shape nobody can list (/proxy/openai/v1/chat/completions).
// So the segments in front are judged:
//   - None of them is a collection of stored things (threads, conversations, files, batches, ...). Whatever hangs below
//     one of those is a part of it, wherever it stands.
//   - A shape of common words (`messages`, `embeddings`, `score`) has to stand where an API begins: at the start of the
//     path, right behind a base that the configuration names, behind a version (/v1, /v1beta), behind a named
//     deployment (deployments/{name}), or behind one of the words that gateways use for an API (/openai/, /compat/). In
//     threads/t1/messages it stands behind an identifier.
//   - A shape that nothing else is called by (`chat/completions`, {model}:generateContent) may stand behind anything
//     else.
// What is not recognised is sent once. That costs resilience, which `retry.replay: always` gives back; the other error
// would cost a second effect.

#include "proxy/wire/error_body.hpp"

#include <cstddef>
#include <string_view>

namespace evenkeel::wire {

enum class call_effect : unsigned char {
    computes,  // sent twice it costs twice, and nothing else
    may_store, // ... unless a member of its JSON body asks for something to be kept: see stores_something()
    reads,     // here for its dialect only: GET may be repeated anyhow
};

// What a call takes tokens for, and so what may be estimated of it where its answer does not tell.
enum class token_use : unsigned char {
    none,   // nothing
    told,   // what its answer tells, and no more: bytes of sounds and pictures say nothing of it
    reads,  // its input
    writes, // ... and its answer
};

struct call {
    std::string_view method;
    std::string_view shape; // segments behind the base; {} is any one, {}:verb any one with this verb
    dialect speaks = dialect::generic;
    call_effect effect = call_effect::computes;
    bool distinct = false;            // nothing else is called so: may stand behind any gateway's prefix
    bool embeds = false;              // the same question has the same answer
    bool streams = false;             // its name asks for a stream
    bool streams_unless_told = false; // ... or the absence of `stream: false`
    bool upcasts = false;             // its buffered form can be asked for as a stream (upcast_request.hpp)
    bool dear = false;                // pictures and sound: nothing that costs so much is sent for the proxy's own sake
    bool tells_if_asked = false;      // its streams tell what they took only then (usage_request.hpp)
    token_use tokens = token_use::writes;
};

// The call whose whole path this is; null: none that we know. `path` is without query. `base`: how many of its first
// bytes are known to be the base of an API, because the configuration says so. The method is not looked at.
[[nodiscard]] const call* find_call(std::string_view path, std::size_t base = 0) noexcept;

// Whether a JSON body asks that something be kept or done beyond its answer: `store: true`, `background: true`, a
// `conversation` that the turn is added to. Members of the outermost object only: a tool may have a parameter called
// `store`. True also where that cannot be told, because the body is no whole JSON object (it may be compressed).
[[nodiscard]] bool stores_something(std::string_view body);

} // namespace evenkeel::wire
