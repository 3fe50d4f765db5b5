#include "proxy/wire/head.hpp"

#include "proxy/wire/characters.hpp"

namespace evenkeel::wire {

namespace {

const field* find_in(const std::vector<field>& fields, field_id id) noexcept {
    for (const field& f : fields)
        if (f.id == id) return &f;
    return nullptr;
}

const field* find_in(const std::vector<field>& fields, std::string_view name) noexcept {
    for (const field& f : fields)
        if (iequals(f.name, name)) return &f;
    return nullptr;
}

} // namespace

void request_head::clear() noexcept {
    method = target = path = query = host = raw = proxy_authorization = {};
    fields.clear();
    body = {};
    minor_version = 1;
    keep_alive = true;
    expect_continue = from_page = false;
    merged.reset();
}

const field* request_head::find(field_id id) const noexcept { return find_in(fields, id); }
const field* request_head::find(std::string_view name) const noexcept { return find_in(fields, name); }

void response_head::clear() noexcept {
    status = 0;
    reason = raw = {};
    fields.clear();
    body = {};
    declared_length.reset();
    minor_version = 1;
    keep_alive = false;
    keep_alive_timeout_seconds = 0;
}

const field* response_head::find(field_id id) const noexcept { return find_in(fields, id); }
const field* response_head::find(std::string_view name) const noexcept { return find_in(fields, name); }

} // namespace evenkeel::wire
