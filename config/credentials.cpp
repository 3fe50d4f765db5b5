#include "config/credentials.hpp"

#include "config/glob.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace evenkeel::config {

namespace {
struct known_name {
    std::string_view name;
    credential_kind is = credential_kind::secret;
};

// Request fields by name. (reference: the documentation of the providers, gateways and identity-aware proxies named)
constexpr known_name known_fields[]{
    // HTTP itself (RFC 9110, 6265, 9421, 9449) and what is usual
    {"authorization"},
    {"proxy-authorization"},
    {"cookie"},
    {"cookie2"},
    {"signature"},
    {"signature-input"},
    {"dpop"},
    {"x-api-key"},
    {"api-key"},
    {"apikey"},
    {"x-apikey"},
    {"x-key"},
    {"token"},
    {"x-token"},
    {"auth-token"},
    {"x-auth-token"},
    {"access-token"},
    {"x-access-token"},
    {"x-auth"},
    {"x-authorization"},
    {"authentication"},
    {"x-jwt"},
    {"x-secret"},
    {"x-password"},
    {"x-session"},
    // providers
    {"x-goog-api-key"},
    {"x-goog-user-project", credential_kind::scope},
    {"x-goog-iam-authorization-token"},
    {"x-firebase-appcheck"},
    {"openai-organization", credential_kind::scope},
    {"openai-project", credential_kind::scope},
    {"anthropic-organization-id", credential_kind::scope},
    {"anthropic-workspace-id", credential_kind::scope},
    {"ocp-apim-subscription-key"},
    {"ocp-apim-subscription-region", credential_kind::scope},
    {"x-functions-key"},
    {"x-amz-security-token"},
    {"x-amz-access-token"},
    {"xi-api-key"},
    {"x-rapidapi-key"},
    {"private-token"},
    {"job-token"},
    {"x-databricks-org-id", credential_kind::scope},
    {"x-organization-id", credential_kind::scope},
    {"x-project-id", credential_kind::scope},
    {"x-ibm-client-id", credential_kind::scope},
    {"x-ibm-client-secret"},
    // gateways
    {"cf-aig-authorization"},
    {"helicone-auth"},
    {"x-portkey-api-key"},
    {"x-portkey-virtual-key"},
    {"x-portkey-config"},
    {"x-litellm-api-key"},
    {"x-litellm-key"},
    {"x-bt-project-id", credential_kind::scope},
    {"x-vault-token"},
    {"x-consumer-username", credential_kind::scope},
    {"x-consumer-id", credential_kind::scope},
    // identity-aware proxies and meshes in front of the application
    {"cf-access-client-id", credential_kind::scope},
    {"cf-access-client-secret"},
    {"cf-access-jwt-assertion"},
    {"x-goog-iap-jwt-assertion"},
    {"x-goog-authenticated-user-email", credential_kind::scope},
    {"x-goog-authenticated-user-id", credential_kind::scope},
    {"x-serverless-authorization"},
    {"x-amzn-oidc-data"},
    {"x-amzn-oidc-accesstoken"},
    {"x-amzn-oidc-identity", credential_kind::scope},
    {"x-ms-client-principal"},
    {"x-ms-client-principal-id", credential_kind::scope},
    {"x-ms-client-principal-name", credential_kind::scope},
    {"x-forwarded-access-token"},
    {"x-forwarded-user", credential_kind::scope},
    {"x-forwarded-email", credential_kind::scope},
    {"x-forwarded-client-cert"},
    {"x-client-cert"},
    {"x-ssl-client-cert"},
    {"x-auth-email", credential_kind::scope},
    {"x-remote-user", credential_kind::scope},
    {"remote-user", credential_kind::scope},
};
// ... by how they end. A list of single names is never complete; what is wrongly caught is excepted below.
constexpr std::array<std::string_view, 19> field_ends{
    "-key",           "-apikey",         "-token",         "-secret",      "-password",   "-passwd", "-auth",
    "-authorization", "-authentication", "-credential",    "-credentials", "-signature",  "-jwt",    "-assertion",
    "-cookie",        "-cert",           "-access-key-id", "-secret-key",  "-accesstoken"};
// Keys and tokens that name no one.
constexpr std::array<std::string_view, 13> field_exceptions{
    "idempotency-key",    "x-idempotency-key",       "surrogate-key",  "sec-websocket-key", "x-cache-key",
    "cache-key",          "x-partition-key",         "x-routing-key",  "x-sharding-key",    "x-dedup-key",
    "continuation-token", "x-ms-continuation-token", "next-page-token"};

constexpr known_name known_query[]{
    {"key"},
    {"api-key"},
    {"apikey"},
    {"x-api-key"},
    {"x-goog-api-key"},
    {"access-token"},
    {"token"},
    {"auth"},
    {"auth-token"},
    {"authorization"},
    {"subscription-key"},
    {"ocp-apim-subscription-key"},
    {"code"},
    {"sig"},
    {"signature"},
    {"x-amz-signature"},
    {"x-amz-credential"},
    {"x-amz-security-token"},
    {"x-goog-signature"},
    {"x-goog-credential"},
    {"awsaccesskeyid"},
    {"client-secret"},
    {"secret"},
    {"password"},
    {"passwd"},
    {"jwt"},
    {"session"},
    {"private-token"},
    {"job-token"},
    {"user-project", credential_kind::scope},
    {"userproject", credential_kind::scope},
    {"$userproject", credential_kind::scope},
    {"organization", credential_kind::scope},
    {"client-id", credential_kind::scope},
};
constexpr std::array<std::string_view, 13> query_ends{
    "-key",      "-apikey",    "apikey",      "-token",       "accesstoken", "authtoken", "-secret",
    "secretkey", "-signature", "-credential", "-credentials", "-password",   "-jwt"};
constexpr std::array<std::string_view, 10> query_exceptions{
    "idempotency-key", "cache-key",  "partition-key", "page-token",         "next-page-token",
    "next-token",      "sync-token", "sort-key",      "continuation-token", "prompt-cache-key"};

// Of the body's outermost object. No ends like -key or -token alone: prompt_cache_key and bos_token are the question
// itself.
constexpr known_name known_body[]{
    {"api-key"},        {"apikey"},    {"x-api-key"},     {"access-token"},      {"accesstoken"},
    {"auth-token"},     {"authtoken"}, {"authorization"}, {"bearer-token"},      {"client-secret"},
    {"secret-key"},     {"password"},  {"hf-token"},      {"aws-access-key-id"}, {"vertex-credentials"},
    {"azure-ad-token"},
};
constexpr std::array<std::string_view, 10> body_ends{
    "-api-key",       "-apikey",     "-access-key",  "-access-key-id", "-secret-access-key",
    "-session-token", "-secret-key", "-credentials", "-access-token",  "-password"};
constexpr std::array<std::string_view, 0> body_exceptions{};

// Where a caller's own credential is, as providers have it (group 1), and as gateways do (group 2).
constexpr credential_rules::place tenant_places[]{
    {"authorization", false, 1},
    {"x-api-key", false, 1},
    {"api-key", false, 1},
    {"x-goog-api-key", false, 1},
    {"key", true, 1},
    {"api-key", true, 1},
    {"access-token", true, 1},
    {"ocp-apim-subscription-key", false, 2},
    {"subscription-key", true, 2},
    {"cf-aig-authorization", false, 2},
    {"helicone-auth", false, 2},
    {"x-portkey-api-key", false, 2},
    {"x-litellm-api-key", false, 2},
    {"x-auth-token", false, 2},
    {"x-access-token", false, 2},
    {"xi-api-key", false, 2},
    {"x-functions-key", false, 2},
    {"x-rapidapi-key", false, 2},
    {"apikey", false, 2},
    {"apikey", true, 2},
    {"token", true, 2},
};

// Of a name; a longer one is none of ours, and is a credential if it ends like one.
constexpr std::size_t longest_name = 256;

// Of one place.
struct name_list {
    std::span<const known_name> names;
    std::span<const std::string_view> ends, exceptions;
};
constexpr name_list known_names(credential_place where) noexcept {
    switch (where) {
    case credential_place::field: return {known_fields, field_ends, field_exceptions};
    case credential_place::query: return {known_query, query_ends, query_exceptions};
    case credential_place::body: break;
    }
    return {known_body, body_ends, body_exceptions};
}

bool has_wildcard(std::string_view text) noexcept { return text.find_first_of("*?") != std::string_view::npos; }

char as_compared(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c == '_' ? '-' : c; }

// What evenkeel and every provider read, and no pattern may take away.
constexpr std::array<std::string_view, 12> needed_fields{
    "accept",          "accept-encoding",   "content-type",   "content-encoding", "content-length", "host",
    "idempotency-key", "anthropic-version", "anthropic-beta", "openai-beta",      "user-agent",     "cache-control"};
constexpr std::array<std::string_view, 2> needed_query{"alt", "api-version"};
constexpr std::array<std::string_view, 8> needed_body{"model",    "messages", "input", "prompt",
                                                      "contents", "stream",   "tools", "temperature"};

std::span<const std::string_view> needed(credential_place where) noexcept {
    switch (where) {
    case credential_place::field: return needed_fields;
    case credential_place::query: return needed_query;
    case credential_place::body: break;
    }
    return needed_body;
}
} // namespace

// Built-in names by length, with which most fields of a request are told at once; what a file says besides.
struct credential_rules::lists {
    struct of_place {
        name_list known;
        std::array<std::vector<known_name>, 40> by_length;
        // Most names are told to be none of these by their first letter and their last two, without a look at the rest.
        std::array<std::uint32_t, 40> firsts{}; // by length
        std::uint64_t lasts = 0;
        std::vector<std::string> more, except; // as compared; globs among them

        void use(credential_place where, const std::vector<std::string>& written) {
            known = known_names(where);
            for (const known_name& one : known.names) {
                by_length[one.name.size()].push_back(one);
                firsts[one.name.size()] |= first_bit(one.name);
            }
            for (const std::string_view end : known.ends) lasts |= end.size() < 2 ? ~std::uint64_t{0} : last_bit(end);
            for (const std::string& each : written) {
                const bool exception = each.starts_with('!');
                (exception ? except : more)
                    .push_back(credential_name(std::string_view{each}.substr(exception ? 1 : 0)));
            }
        }
        [[nodiscard]] static std::uint32_t first_bit(std::string_view name) noexcept {
            return 1U << (static_cast<unsigned char>(as_compared(name.front())) & 31U);
        }
        [[nodiscard]] static std::uint64_t last_bit(std::string_view name) noexcept {
            const auto at = [&](std::size_t back) {
                return static_cast<unsigned>(static_cast<unsigned char>(as_compared(name[name.size() - back])));
            };
            return std::uint64_t{1} << ((at(1) * 7 + at(2)) & 63U);
        }
        [[nodiscard]] bool is_none(std::string_view name) const noexcept {
            if (!more.empty() || name.size() < 2) return false;
            return (lasts & last_bit(name)) == 0 &&
                   (name.size() >= firsts.size() || (firsts[name.size()] & first_bit(name)) == 0);
        }
        [[nodiscard]] static bool any(const std::vector<std::string>& globs, std::string_view name) noexcept {
            return std::any_of(globs.begin(), globs.end(),
                               [&](const std::string& glob) { return glob_match(glob, name); });
        }
        [[nodiscard]] credential_kind find(std::string_view as_received) const noexcept {
            if (is_none(as_received)) return credential_kind::none;
            std::array<char, longest_name> room;
            // Of a name that is longer only the end is looked at, as everything built in is told by its end.
            const std::string_view part =
                as_received.size() > longest_name ? as_received.substr(as_received.size() - longest_name) : as_received;
            std::transform(part.begin(), part.end(), room.begin(), as_compared);
            const std::string_view name{room.data(), part.size()};
            if (!more.empty() && any(more, name)) return credential_kind::secret;
            if (name.size() < by_length.size()) {
                for (const known_name& one : by_length[name.size()]) {
                    if (std::memcmp(one.name.data(), name.data(), name.size()) != 0) continue;
                    return one.is == credential_kind::scope && any(except, name) ? credential_kind::none : one.is;
                }
            }
            if (std::none_of(known.ends.begin(), known.ends.end(),
                             [&](std::string_view end) { return name.ends_with(end); }))
                return credential_kind::none;
            if (std::find(known.exceptions.begin(), known.exceptions.end(), name) != known.exceptions.end())
                return credential_kind::none;
            return any(except, name) ? credential_kind::none : credential_kind::secret;
        }
    };

    explicit lists(credential_names more) : written(std::move(more)) {
        at[0].use(credential_place::field, written.fields);
        at[1].use(credential_place::query, written.query);
        at[2].use(credential_place::body, written.body);
        // What the file names in full decides before anything built in, each name a group of its own: its order is the
        // file's.
        const auto add = [&](const of_place& from, bool in_query) {
            for (const std::string& each : from.more) {
                if (!has_wildcard(each)) order.push_back({each, in_query, static_cast<unsigned>(order.size())});
            }
        };
        add(at[0], false);
        add(at[1], true);
        const auto own = static_cast<unsigned>(order.size());
        for (const place& each : tenant_places) order.push_back({each.name, each.in_query, own + each.group});
    }

    credential_names written;
    std::array<of_place, 3> at;
    std::vector<place> order;
};

credential_rules::credential_rules() {
    static const auto known = std::make_shared<const lists>(credential_names{});
    lists_ = known;
}
credential_rules::credential_rules(credential_names more) : lists_(std::make_shared<const lists>(std::move(more))) {}

credential_kind credential_rules::field(std::string_view name) const noexcept { return lists_->at[0].find(name); }
credential_kind credential_rules::query_member(std::string_view name) const noexcept {
    return lists_->at[1].find(name);
}
credential_kind credential_rules::body_member(std::string_view name) const noexcept { return lists_->at[2].find(name); }
bool credential_rules::names_body() const noexcept { return !lists_->at[2].more.empty(); }
std::span<const credential_rules::place> credential_rules::tenant_order() const noexcept { return lists_->order; }
bool credential_rules::operator==(const credential_rules& other) const noexcept {
    return lists_ == other.lists_ || lists_->written == other.lists_->written;
}

bool sets_credential(const credential_rules& rules, std::string_view name, std::string_view value) noexcept {
    return !value.empty() && rules.field(name) == credential_kind::secret;
}

std::string credential_name(std::string_view name) {
    std::string out(name);
    std::transform(out.begin(), out.end(), out.begin(), as_compared);
    return out;
}

std::string check_credential_pattern(credential_place where, std::string_view pattern) {
    const bool exception = pattern.starts_with('!');
    const std::string name = credential_name(pattern.substr(exception ? 1 : 0));
    if (name.empty()) return "a name or a pattern is missing behind '!'";
    if (name.size() > 128) return "a name has at most 128 characters";
    const bool good = std::all_of(name.begin(), name.end(), [](char c) {
        return c > 0x20 && c < 0x7F && c != '"' && c != '&' && c != '=' && c != ':';
    });
    if (!good) return "a name consists of visible ASCII characters without blanks";
    if (exception) {
        const auto& known = known_names(where).names;
        const bool always = std::any_of(known.begin(), known.end(), [&](const known_name& one) {
            return one.is == credential_kind::secret && glob_match(name, one.name);
        });
        return always ? "this is, or matches, a name that is a credential everywhere; an exception is for what a "
                        "built-in pattern catches"
                      : "";
    }
    for (const std::string_view one : needed(where)) {
        if (glob_match(name, one))
            return "this matches '" + std::string(one) + "', which is no credential and which upstreams need";
    }
    if (where == credential_place::field && name.starts_with("x-evenkeel-"))
        return "fields that begin with x-evenkeel- are evenkeel's own and never leave";
    return "";
}

} // namespace evenkeel::config
