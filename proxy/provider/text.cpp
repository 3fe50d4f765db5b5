#include "proxy/provider/text.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

namespace evenkeel::provider {

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::string quoted(std::string_view text) { return boost::json::serialize(boost::json::string{text}); }

} // namespace evenkeel::provider
