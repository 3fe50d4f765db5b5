#include "proxy/server/descriptor_limit.hpp"

#include <sys/resource.h>

namespace evenkeel::server {

descriptor_limit raise_descriptor_limit() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
    const rlim_t before = limit.rlim_cur;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
    }
    return {before, limit.rlim_cur};
}

} // namespace evenkeel::server
