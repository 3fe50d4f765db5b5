#pragma once
// All that a running proxy tells to anybody but its providers: what a canary is looked for in.

#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

namespace evenkeel::test {

inline provider::blocking_client admin_of(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return provider::blocking_client(
        {.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
}
inline std::string everything_told(running_proxy& proxy) {
    std::string all;
    auto admin = admin_of(proxy);
    for (const char* page : {"/metrics", "/health", "/-/overview", "/-/requests?limit=1000&tries", "/-/config", "/"})
        all += admin.request("GET", page).body;
    const auto kept = boost::json::parse(admin.request("GET", "/-/requests?limit=20").body);
    for (const auto& one : kept.at("requests").as_array()) {
        const std::string id = one.at("id").as_string().c_str();
        all += admin.request("GET", "/-/requests/" + id).body;
        all += admin.request("GET", "/-/requests/" + id + "?format=text").body;
    }
    all += proxy.log_text();
    std::ifstream in(proxy.access_log());
    all.append(std::istreambuf_iterator<char>(in), {});
    return all;
}

} // namespace evenkeel::test
