#pragma once
// Keys of last good answers as requests would have them: there is no other way to make one.

#include "proxy/fallback/last_good_store.hpp"

#include <string>
#include <string_view>

namespace evenkeel::test {

inline request::last_good_key key_for(const request::last_good_store& store, const std::string& credential,
                                      const std::string& what) {
    wire::request_head head;
    head.method = "POST";
    head.fields = {{"authorization", credential, wire::field_id::authorization}};
    request::identity_text identity;
    identity.add(std::string_view{what});
    return {request::principal{head, *store.key()}, identity, *store.key()};
}

} // namespace evenkeel::test
