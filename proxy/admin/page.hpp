#pragma once
// The dashboard, and the form that asks for the token: each one document with its style and its script inside, so that
// a browser loads nothing else. The policy that goes with a document lets it run exactly what stands in it, by hash,
// and talk to nobody but this listener.

#include <string>
#include <string_view>

namespace evenkeel::admin {

struct page {
    std::string text;
    std::string policy; // for Content-Security-Policy
};

// `with_logout`: there is a session that can be ended.
[[nodiscard]] const page& dashboard(bool with_logout);
enum class login_word : unsigned char { none, wrong, wait }; // what is said above the form
[[nodiscard]] const page& login_form(login_word say);

} // namespace evenkeel::admin
