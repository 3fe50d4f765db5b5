#include "proxy/reading/credentials.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {

int hex(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const int high = text[i] == '%' && i + 2 < text.size() ? hex(text[i + 1]) : -1;
        const int low = high >= 0 ? hex(text[i + 2]) : -1;
        if (low >= 0) {
            out.push_back(static_cast<char>(high * 16 + low));
            i += 2;
        } else {
            out.push_back(text[i] == '+' ? ' ' : text[i]);
        }
    }
    return out;
}

// `key[]` and `key[a]` are read as `key` by some servers.
std::string_view without_index(std::string_view name) noexcept { return name.substr(0, name.find('[')); }

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
} // namespace

void for_each_query_member(
    std::string_view query,
    const std::function<void(const std::string& name, const std::string& value, std::string_view written)>& what) {
    while (!query.empty()) {
        const std::string_view one = query.substr(0, query.find_first_of("&;"));
        if (!one.empty()) {
            const std::size_t equals = std::min(one.find('='), one.size());
            what(decoded(one.substr(0, equals)), decoded(one.substr(std::min(equals + 1, one.size()))), one);
        }
        query.remove_prefix(std::min(query.size(), one.size() + 1));
    }
}

std::string_view target_without_credentials(std::string_view target, const config::credential_rules& rules,
                                            std::string& room) {
    const std::size_t mark = target.find('?');
    if (mark == std::string_view::npos) return target;
    bool any = false;
    std::string kept{target.substr(0, mark)};
    char before = '?';
    for_each_query_member(target.substr(mark + 1),
                          [&](const std::string& name, const std::string&, std::string_view written) {
                              if (rules.query_member(without_index(name)) != config::credential_kind::none) {
                                  any = true;
                                  return;
                              }
                              kept.push_back(before);
                              kept.append(written);
                              const char* const behind = written.data() + written.size();
                              before = behind != target.data() + target.size() ? *behind : '&';
                          });
    if (!any) return target;
    room = std::move(kept);
    return room;
}

bool may_be_json(const wire::request_head& head) noexcept {
    if (head.body.kind == wire::body_kind::none) return false;
    const wire::field* const type = head.find(wire::field_id::content_type);
    if (type == nullptr) return true;
    static constexpr std::array<std::string_view, 5> others{"multipart/", "audio/", "image/", "video/",
                                                            "application/octet-stream"};
    return std::none_of(others.begin(), others.end(),
                        [&](std::string_view other) { return wire::istarts_with(type->value, other); });
}

std::vector<std::string_view> body_without_credentials(std::string_view body, const config::credential_rules& rules) {
    const std::string_view mark = body.substr(0, body.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
    auto kept = wire::without_members(body.substr(mark.size()), wire::most_members, [&](std::string_view name) {
        return rules.body_member(name) != config::credential_kind::none;
    });
    if (!kept.empty() && !mark.empty()) kept.insert(kept.begin(), mark);
    return kept;
}

void for_each_credential(const wire::request_head& head, std::string_view body, const config::credential_rules& rules,
                         const std::function<void(std::string_view name, std::string_view value)>& what) {
    // It goes no further than here, yet says who asks.
    if (!head.proxy_authorization.empty()) what("proxy-authorization", head.proxy_authorization);
    for (const wire::field& one : head.fields) {
        if (is_credential(rules, one)) what(config::credential_name(one.name), one.value);
    }
    for_each_query_member(head.query, [&](const std::string& name, const std::string& value, std::string_view) {
        if (rules.query_member(without_index(name)) != config::credential_kind::none)
            what('?' + config::credential_name(name), value);
    });
    if (body.empty() || !may_be_json(head)) return;
    if (body.starts_with(byte_order_mark)) body.remove_prefix(byte_order_mark.size());
    const auto credentials = wire::pick_members(body, wire::most_members, [&](std::string_view name) {
        return rules.body_member(name) != config::credential_kind::none;
    });
    for (const wire::json_member& one : credentials) what('{' + config::credential_name(one.name), one.value);
}

} // namespace evenkeel::request
