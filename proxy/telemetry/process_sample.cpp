#include "proxy/telemetry/process_sample.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>

namespace evenkeel::telemetry {

namespace {

// Field 22 of /proc/self/stat counts from boot; /proc/stat says when that was. The command name, field 2, may hold
// blanks and parentheses, so counting starts behind its last ')'.
double start_time_seconds() {
    std::ifstream self("/proc/self/stat");
    std::string line;
    std::getline(self, line);
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) return 0;
    std::istringstream fields(line.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) fields >> skipped;
    double ticks = 0;
    if (!(fields >> ticks)) return 0;

    std::ifstream system("/proc/stat");
    while (std::getline(system, line))
        if (line.starts_with("btime "))
            return std::stod(line.substr(6)) + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    return 0;
}

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

} // namespace

process_sample sample_process() {
    process_sample sample;
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) == 0) sample.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);

    static const double started = start_time_seconds();
    sample.start_time_seconds = started;

    std::uint64_t size = 0, resident = 0; // pages
    if (std::ifstream memory("/proc/self/statm"); memory >> size >> resident)
        sample.resident_bytes = resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));

    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end; at.increment(error))
        ++sample.open_fds;
    if (sample.open_fds > 0) --sample.open_fds; // the one that lists them

    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) sample.max_fds = limit.rlim_cur;
    return sample;
}

} // namespace evenkeel::telemetry
