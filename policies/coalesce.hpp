#pragma once
// Whether a request may share the answer of an identical one that is under way. Sharing is right where asking twice
// would bring the same answer (deterministic), or where the operator says that any answer will do for all who ask at
// the same time (always: sampled answers legitimately differ). Never for what has an effect: one effect would be
// claimed by several.
//
// Pure. What makes two requests identical is the request path's to say (proxy/coalesce/coalesce_key.hpp).

namespace evenkeel {

enum class coalesce_mode : unsigned char { off, deterministic, always };

struct coalesce_facts {
    bool is_get = false, is_post = false;
    bool body_held = false;     // all of it is here: it is part of the identity
    bool repeatable = false;    // sending it twice does no harm
    bool deterministic = false; // a POST: temperature 0, a seed, or embeddings
};
[[nodiscard]] bool may_coalesce(coalesce_mode mode, const coalesce_facts& facts) noexcept;

} // namespace evenkeel
