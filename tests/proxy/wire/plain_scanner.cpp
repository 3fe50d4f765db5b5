// The scanner as an old processor runs it; the linker then has no reason to take the other one.
#define __builtin_cpu_supports(what) 0
#include "proxy/wire/head_scanner.cpp" // NOLINT(bugprone-suspicious-include)
