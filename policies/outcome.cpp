#include "policies/outcome.hpp"

#include <algorithm>
#include <array>

namespace evenkeel {

namespace {

constexpr verdict money{outcome_class::throttled, outcome_kind::quota};
constexpr verdict rate{outcome_class::throttled, outcome_kind::rate_limited};
constexpr verdict overload{outcome_class::throttled, outcome_kind::overloaded};
constexpr verdict server{outcome_class::failure, outcome_kind::server_error};
// 409, 425: come again, nothing is broken.
constexpr verdict passing{outcome_class::neutral, outcome_kind::server_error};
constexpr verdict caller{outcome_class::success, outcome_kind::caller_error};
constexpr verdict key{outcome_class::neutral, outcome_kind::credential};

// Words that mean the same whatever status they come with, as `type`, `code` or `status`. (reference: ecosystem 6.2)
struct word_row {
    std::string_view word;
    verdict means;
};
constexpr std::array<word_row, 36> words{{
    {"insufficient_quota", money},
    {"exceeded_current_quota_error", money}, // Moonshot
    {"insufficient_user_quota", money},      // one-api, new-api
    {"insufficient_credits", money},
    {"insufficient_funds", money},
    {"arrearage", money},           // DashScope
    {"accountoverdueerror", money}, // Volcengine
    {"credit_balance_exhausted", money},
    {"organization_spend_limit_exceeded", money},
    {"project_spend_limit_exceeded", money},
    {"organization_usage_limit_exceeded", money},
    {"billing_error", money},
    {"billing_hard_limit_reached", money},
    {"billing_not_active", money},
    {"enforced_spend_limit_reached", money},
    {"insufficient_balance", money},
    {"context_length_exceeded", caller},
    {"request_too_large", caller},
    {"string_above_max_length", caller},
    {"content_filter", caller},
    {"content_policy_violation", caller},
    {"responsibleaipolicyviolation", caller},
    {"slow_down", overload},
    {"overloaded_error", overload},
    {"server_is_overloaded", overload},
    {"service_unavailable_error", overload},
    {"engine_overloaded", overload},
    {"engine_overloaded_error", overload},
    {"unavailable", overload},
    {"deadline_exceeded", overload},
    {"invalid_api_key", key},
    {"authentication_error", key},
    {"permission_error", key},
    {"permission_denied", key},
    {"unauthenticated", key},
    {"account_deactivated", key},
}};
// ... and those that only speak where no status does: in an event, or in a body with 200.
constexpr std::array<word_row, 17> embedded_words{{
    {"rate_limit_error", rate},
    {"rate_limit_exceeded", rate},
    {"rate_limited", rate},
    {"rate_limit_reached", rate},
    {"too_many_requests", rate},
    {"requests", rate},
    {"tokens", rate},
    {"resource_exhausted", rate},
    {"invalid_request_error", caller},
    {"invalid_request", caller},
    {"invalid_argument", caller},
    {"badrequesterror", caller},
    {"invalid_prompt", caller},
    {"not_found_error", caller},
    {"model_not_found", caller},
    {"not_found", caller},
    {"failed_precondition", caller},
}};
// Structured words for a limit that ends by itself: its message may speak of a quota all the same.
constexpr std::array<std::string_view, 7> rate_words{"rate_limit_error",
                                                     "rate_limit_exceeded",
                                                     "rate_limited",
                                                     "rate_limit_reached",
                                                     "too_many_requests",
                                                     "requests",
                                                     "tokens"};
// What providers only say in prose.
constexpr std::array<word_row, 8> sentences{{
    {"credit balance is too low", money},
    {"insufficient balance", money},
    {"insufficient_quota", money},
    {"exceeded your current quota", money},
    {"reached your specified api usage limits", money},
    {"prompt is too long", caller},
    {"maximum context length", caller},
    {"responsibleaipolicyviolation", caller},
}};

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool same(std::string_view text, std::string_view lower_word) noexcept {
    return std::equal(text.begin(), text.end(), lower_word.begin(), lower_word.end(),
                      [](char a, char b) { return lower(a) == b; });
}
bool says(std::string_view text, std::string_view lower_words) noexcept {
    return std::search(text.begin(), text.end(), lower_words.begin(), lower_words.end(),
                       [](char a, char b) { return lower(a) == b; }) != text.end();
}

template <std::size_t n>
std::optional<verdict> look_up(const std::array<word_row, n>& table, const error_words& said) noexcept {
    for (const std::string_view text : {said.code, said.type, said.status}) {
        if (text.empty()) continue;
        const auto row =
            std::find_if(table.begin(), table.end(), [&](const word_row& one) { return same(text, one.word); });
        if (row != table.end()) return row->means;
    }
    return std::nullopt;
}

// What a message quotes may be the caller's own words, such as a model of that name: only what stands before counts.
std::optional<verdict> by_sentence(const error_words& said) noexcept {
    const std::string_view message = said.message.substr(0, said.message.find_first_of("\"'`"));
    if (message.empty()) return std::nullopt;
    const auto row =
        std::find_if(sentences.begin(), sentences.end(), [&](const word_row& one) { return says(message, one.word); });
    return row != sentences.end() ? std::optional{row->means} : std::nullopt;
}

// Google has one word, and one sentence about "your current quota", for a minute's rate and for a day's quota; the
// fields of the error tell them apart.
std::optional<verdict> by_quota(const error_words& said, std::optional<duration> hint,
                                duration max_retry_after) noexcept {
    if (!same(said.status, "resource_exhausted")) return std::nullopt;
    const auto delay = said.retry_delay ? said.retry_delay : hint;
    if (says(said.quota, "perday") || (delay && *delay > max_retry_after) || says(said.message, "limit: 0"))
        return money;
    return delay || !said.quota.empty() ? std::optional{rate} : std::nullopt;
}

bool names_a_rate(const error_words& said) noexcept {
    return std::any_of(rate_words.begin(), rate_words.end(), [&](std::string_view one) {
        return same(said.code, one) || same(said.type, one) || same(said.status, one);
    });
}

// Structure before prose: the message is asked only where no field says anything of its own.
std::optional<verdict> by_words(const error_words& said, std::optional<duration> hint,
                                duration max_retry_after) noexcept {
    if (const auto known = by_quota(said, hint, max_retry_after)) return known;
    if (const auto known = look_up(words, said)) return known;
    if (names_a_rate(said)) return std::nullopt; // the status says the rest
    return by_sentence(said);
}

std::optional<int> status_in(std::string_view code) noexcept {
    if (code.size() != 3 || code[0] < '1' || code[0] > '5') return std::nullopt;
    int status = 0;
    for (const char c : code) {
        if (c < '0' || c > '9') return std::nullopt;
        status = status * 10 + (c - '0');
    }
    return status;
}

verdict by_status(int status, bool has_hint) noexcept {
    if (status < 400) return {};
    switch (status) {
    case 401:
    case 403: return key;
    case 402: return money;
    case 408:
    case 424: return server;
    case 409:
    case 425: return passing;
    case 429: return rate;
    case 498: return overload; // Groq: no room in the flex tier
    case 503: return has_hint ? overload : server;
    case 529: return overload;
    default: return status < 500 ? caller : server;
    }
}

} // namespace

std::string_view to_string(outcome_class is) noexcept {
    switch (is) {
    case outcome_class::success: return "success";
    case outcome_class::failure: return "failure";
    case outcome_class::throttled: return "throttled";
    case outcome_class::neutral: return "neutral";
    }
    return "neutral";
}

std::string_view to_string(outcome_kind kind) noexcept {
    switch (kind) {
    case outcome_kind::answered: return "answered";
    case outcome_kind::connect_failure: return "connect_failure";
    case outcome_kind::reset: return "reset";
    case outcome_kind::timeout: return "timeout";
    case outcome_kind::overloaded: return "overloaded";
    case outcome_kind::rate_limited: return "rate_limited";
    case outcome_kind::quota: return "quota";
    case outcome_kind::credential: return "credential";
    case outcome_kind::server_error: return "server_error";
    case outcome_kind::protocol_error: return "protocol_error";
    case outcome_kind::caller_error: return "caller_error";
    case outcome_kind::cancelled: return "cancelled";
    }
    return "cancelled";
}

namespace {
// Words of a refusal that can mean nothing else.
constexpr std::array<std::string_view, 16> plainly_request{"model_not_found",
                                                           "model_not_available",
                                                           "model_access_denied",
                                                           "key_model_access_denied",
                                                           "team_model_access_denied",
                                                           "content_filter",
                                                           "content_policy_violation",
                                                           "moderation_blocked",
                                                           "unsupported_country_region_territory",
                                                           "user_location_not_supported",
                                                           "responsibleaipolicyviolation",
                                                           "insufficient_scope",
                                                           "insufficient_permissions",
                                                           "missing_scope",
                                                           "access_token_scope_insufficient",
                                                           "service_disabled"};
constexpr std::array<std::string_view, 25> plainly_key{"invalid_api_key",
                                                       "incorrect_api_key",
                                                       "api_key_invalid",
                                                       "api_key_expired",
                                                       "expired_api_key",
                                                       "api_key_disabled",
                                                       "api_key_revoked",
                                                       "missing_api_key",
                                                       "no_api_key",
                                                       "key_expired",
                                                       "key_revoked",
                                                       "invalid_token",
                                                       "token_expired",
                                                       "expired_token",
                                                       "token_revoked",
                                                       "access_token_expired",
                                                       "invalid_authentication",
                                                       "authentication_error",
                                                       "authentication_failed",
                                                       "account_deactivated",
                                                       "account_disabled",
                                                       "account_suspended",
                                                       "unrecognizedclientexception",
                                                       "expiredtokenexception",
                                                       "invalidsignatureexception"};
// ... and of a message.
constexpr std::array<std::string_view, 23> key_sentences{"incorrect api key",
                                                         "invalid api key",
                                                         "invalid api-key",
                                                         "invalid x-api-key",
                                                         "api key not valid",
                                                         "api key is invalid",
                                                         "api key expired",
                                                         "api key not found",
                                                         "no api key",
                                                         "missing api key",
                                                         "provide an api key",
                                                         "provide your api key",
                                                         "invalid bearer token",
                                                         "invalid token",
                                                         "invalid subscription key",
                                                         "invalid authentication",
                                                         "authentication fails",
                                                         "no auth credentials",
                                                         "user not found",
                                                         "expired",
                                                         "revoked",
                                                         "deactivated",
                                                         "invalid credentials"};
constexpr std::array<std::string_view, 15> request_sentences{"permission",
                                                             "not allowed",
                                                             "not permitted",
                                                             "do not have access",
                                                             "does not have access",
                                                             "don't have access",
                                                             "no access to",
                                                             "missing scopes",
                                                             "not available in your",
                                                             "not supported",
                                                             "not enabled",
                                                             "content policy",
                                                             "flagged",
                                                             "moderation",
                                                             "your region"};

// What is quoted may be the caller's. An apostrophe quotes nothing.
std::string_view before_quotes(std::string_view message) noexcept {
    const auto letter = [](char c) { return lower(c) >= 'a' && lower(c) <= 'z'; };
    for (std::size_t at = 0; (at = message.find_first_of("\"'`", at)) != std::string_view::npos; ++at) {
        const bool apostrophe = message[at] == '\'' && at > 0 && letter(message[at - 1]) && at + 1 < message.size() &&
                                letter(message[at + 1]);
        if (!apostrophe) return message.substr(0, at);
    }
    return message;
}

template <std::size_t n>
bool has_any(const std::array<std::string_view, n>& table, const error_words& said) noexcept {
    return std::any_of(table.begin(), table.end(), [&](std::string_view one) {
        return same(said.code, one) || same(said.type, one) || same(said.status, one);
    });
}
template <std::size_t n>
bool says_any(const std::array<std::string_view, n>& table, std::string_view message) noexcept {
    return std::any_of(table.begin(), table.end(), [&](std::string_view one) { return says(message, one); });
}
} // namespace

refused_over refused_over_what(const error_words& said) noexcept {
    if (has_any(plainly_request, said)) return refused_over::request;
    if (has_any(plainly_key, said)) return refused_over::key;
    const std::string_view message = before_quotes(said.message);
    // Anthropic: permission_error, "OAuth token has been revoked".
    if (says_any(key_sentences, message)) return refused_over::key;
    static constexpr std::array<std::string_view, 2> permission{"permission_error", "permission_denied"};
    if (has_any(permission, said) || says_any(request_sentences, message)) return refused_over::request;
    static constexpr std::array<std::string_view, 1> unnamed{"unauthenticated"}; // Google's status of every 401
    return has_any(unnamed, said) ? refused_over::key : refused_over::unknown;
}

verdict classify_answer(int status, const error_words& said, std::optional<duration> hint,
                        duration max_retry_after) noexcept {
    if (status < 400) return {};
    const verdict plain = by_status(status, hint.has_value());
    const auto told = by_words(said, hint, max_retry_after);
    if (!told) return plain;
    // A credential is refused by status; the words alone may be part of an explanation.
    if (*told == key && plain.kind != outcome_kind::credential && plain.kind != outcome_kind::caller_error)
        return plain;
    return *told;
}

bool is_refusal(int status, bool has_hint) noexcept {
    switch (status) {
    case 401:
    case 402:
    case 403:
    case 413:
    case 429:
    case 498:
    case 529: return true;
    case 503: return has_hint;
    default: return false;
    }
}

verdict classify_embedded(const error_words& said, duration max_retry_after) noexcept {
    if (const auto told = by_words(said, std::nullopt, max_retry_after)) return *told;
    if (const auto told = look_up(embedded_words, said)) return *told;
    if (const auto status = status_in(said.code); status && *status >= 400)
        return by_status(*status, said.retry_delay.has_value());
    return server;
}

} // namespace evenkeel
