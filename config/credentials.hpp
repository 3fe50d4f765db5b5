#pragma once
// What a credential is, in one place: which request fields, query members and members of a JSON body say who asks,
// beside what a file adds (`credential_fields`, `credential_query`, `credential_body`). Three rules are made of it, and
// each errs to its own side:
//
//   - shown (proxy/reading/outgoing): a caller's credentials go to one authority. The list is wide and has patterns,
//     since a field too many is missed by an upstream that has a credential of its own anyway, and one too few is told
//     to a stranger;
//   - shared (principal.hpp): who rests with whom. As wide, so that two callers are apart wherever they may be;
//   - divided (tenant_order below): tenants' shares and shards. Narrow, and in an order, so that nobody gets a second
//     share by sending one more field.
//
// Names are compared without regard to case, and '_' is read as '-': servers do both.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

enum class credential_kind : unsigned char {
    none,
    scope,  // on whose account: an organisation, a project. Not shown to others, but no credential by itself
    secret, // what authenticates
};

// What a file says beside the built-in lists. Names or globs (`*`, `?`); one that begins with '!' is an exception to
// what a built-in pattern or scope catches.
struct credential_names {
    std::vector<std::string> fields, query, body;
    bool operator==(const credential_names&) const = default;
};

// Cheap to copy; any thread.
class credential_rules {
public:
    credential_rules(); // of a file that says nothing
    explicit credential_rules(credential_names more);

    [[nodiscard]] credential_kind field(std::string_view name) const noexcept;
    [[nodiscard]] credential_kind query_member(std::string_view name) const noexcept; // decoded
    // Of the outermost object; decoded.
    [[nodiscard]] credential_kind body_member(std::string_view name) const noexcept;
    // The file itself names members of the body: then a body that cannot be looked through is refused where they are
    // dropped.
    [[nodiscard]] bool names_body() const noexcept;

    // The places where a tenant's credential is looked for. Groups in order: the first that is there decides
    // (principal.hpp).
    struct place {
        std::string_view name; // as it is compared
        bool in_query = false;
        unsigned group = 0;
    };
    [[nodiscard]] std::span<const place> tenant_order() const noexcept;

    bool operator==(const credential_rules& other) const noexcept;

private:
    struct lists;
    std::shared_ptr<const lists> lists_;
};

// Whether a field that is set by the configuration brings a credential.
[[nodiscard]] bool sets_credential(const credential_rules& rules, std::string_view name,
                                   std::string_view value) noexcept;

// As names are compared.
[[nodiscard]] std::string credential_name(std::string_view name);

// Empty if `pattern` may stand in a list of that place, else what is wrong with it. It does not repeat the pattern.
enum class credential_place : unsigned char { field, query, body };
[[nodiscard]] std::string check_credential_pattern(credential_place where, std::string_view pattern);

} // namespace evenkeel::config
