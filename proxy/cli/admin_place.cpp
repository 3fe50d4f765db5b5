#include "proxy/cli/admin_place.hpp"

#include "config/load.hpp"
#include "config/network.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/provider/blocking_client.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <iostream>
#include <set>
#include <utility>
#include <variant>

namespace evenkeel::cli {

namespace {
constexpr std::size_t most_told = std::size_t{64} * 1024 * 1024; // a thousand endpoints take 1 MB (chosen)
}

std::optional<admin_place> find_admin(const std::string& admin, const std::string& file, std::string& why) {
    admin_place at;
    if (const char* token = std::getenv("EVENKEEL_ADMIN_TOKEN")) at.token = token;
    if (!file.empty()) {
        // Who asks needs none of the keys that the service has.
        std::set<std::string> assumed;
        const auto loaded = config::load_file(file, config::assuming(config::process_environment(), assumed));
        if (!loaded.ok()) {
            print_problems(loaded.diagnostics);
            why = "the file says no more than its problems";
            return std::nullopt;
        }
        const config::admin& told = loaded.settings->admin;
        if (admin.empty() && (!told.listen || told.listen->unix)) {
            why = "this file has no admin.listen that can be asked: name one with --admin";
            return std::nullopt;
        }
        if (admin.empty()) {
            at.host = told.listen->host;
            at.port = told.listen->port;
        }
        // It is for the address in its file and no other; where it may be one of those that are not set here, the
        // variable's is better.
        if (admin.empty() && (assumed.empty() || at.token.empty())) at.token = told.token;
    }
    if (!admin.empty()) {
        const auto read = config::read_url(admin, true);
        const auto* url = std::get_if<config::url>(&read);
        if (url == nullptr || url->tls) {
            why = "--admin is an address like http://127.0.0.1:9901";
            return std::nullopt;
        }
        at.host = url->host;
        at.port = url->port;
    }
    if (at.host == "localhost" || at.host == "0.0.0.0") at.host = "127.0.0.1";
    return at;
}

admin_answer ask_admin(const admin_place& at, const std::string& target, std::chrono::milliseconds within) {
    try {
        provider::blocking_client client(
            {.host = at.host, .port = at.port, .timeout = within, .whole = within, .most_body = most_told});
        provider::header_list fields;
        if (!at.token.empty()) fields.emplace_back("authorization", "Bearer " + at.token);
        auto told = client.request("GET", target, fields);
        if (!told.complete()) return {.problem = "the proxy broke off before it had said everything"};
        if (told.status == 401)
            return {.status = 401, .problem = "the proxy asks for its admin token: EVENKEEL_ADMIN_TOKEN, or -c FILE"};
        return {.status = told.status, .body = std::move(told.body)};
    } catch (const provider::client_error& error) {
        return {.problem = fmt::format("{}:{}: {}; is the proxy running, and is this its admin.listen?", at.host,
                                       at.port, error.what())};
    }
}

std::string printable_lines(std::string text) {
    for (char& c : text)
        if (c != '\n' && (c < ' ' || c > '~')) c = '?';
    return text;
}

} // namespace evenkeel::cli
