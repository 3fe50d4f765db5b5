#include "proxy/admin/page.hpp"

#include "proxy/admin/page_files.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <array>
#include <cstddef>

namespace evenkeel::admin {

namespace {

std::string hash_source(std::string_view text) {
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::array<unsigned char, 4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1> encoded{};
    const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(digest.size()));
    return "'sha256-" + std::string(reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(length)) +
           '\'';
}

void put(std::string& into, std::string_view mark, std::string_view text) {
    into.replace(into.find(mark), mark.size(), text);
}

// Trusted Types: no script may turn text into markup.
page assembled(std::string_view document, std::string_view style, std::string_view script) {
    page made{.text = std::string(document),
              .policy = "default-src 'none'; script-src " + hash_source(script) + "; style-src " + hash_source(style) +
                        "; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
                        "frame-ancestors 'none'; require-trusted-types-for 'script'"};
    put(made.text, "/*style*/", style);
    put(made.text, "/*script*/", script);
    return made;
}

page login(std::string_view says) {
    page made = assembled(page_files::login_html, page_files::login_css, page_files::login_js);
    put(made.text, "<!--says-->", says);
    return made;
}

} // namespace

const page& dashboard(bool with_logout) {
    static const page plain = assembled(page_files::page_html, page_files::page_css, page_files::page_js);
    static const page with = [] {
        page made = plain;
        put(made.text, "data-session=\"no\"", "data-session=\"yes\"");
        return made;
    }();
    return with_logout ? with : plain;
}

const page& login_form(login_word say) {
    static const page none = login("");
    static const page wrong = login("<p role=\"alert\" id=\"says\">That is not the token.</p>");
    static const page wait = login("<p role=\"alert\" id=\"says\">Too many wrong tokens. Wait a few seconds.</p>");
    switch (say) {
    case login_word::none: break;
    case login_word::wrong: return wrong;
    case login_word::wait: return wait;
    }
    return none;
}

} // namespace evenkeel::admin
