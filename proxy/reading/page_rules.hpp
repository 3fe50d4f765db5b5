#pragma once
// Whether a page in somebody's browser is behind a request, and may be. The proxy adds credentials that its callers do
// not have, so whoever reaches the data port spends them; a loopback address keeps machines out, but not the pages that
// a browser on this machine shows. A pure decision over what the request says about itself:
//
// - Origin. A browser puts it on every POST, also on the "simple" ones that need no permission (a form, `mode:
// no-cors`),
//   and no page can write it. Foreign is http(s) of another host, `null` (what a sandboxed frame of any page says, so
//   it is nobody in particular) and a browser extension. Not foreign:
//     * a loopback origin (http://localhost:3000). It is another origin, but its page was served by a program of this
//       machine, which could call the port without a browser; it is how an application is developed.
//     * other schemes (vscode-webview, app, tauri, capacitor, file): programs of the user's own. No web page has such
//       an origin, and a browser's own file:// pages say `null`.
//     * the origin that was asked, if its name cannot have been rebound: a loopback name, a literal address, a name in
//       allowed_hosts, or https that the browser itself calls same-origin.
//   What allowed_origins names is welcome, `null` and `*` included.
// - Sec-Fetch-Site, where there is no Origin (an <img>, a link, a GET without CORS): `cross-site` and `same-site` are
//   refused, `same-origin` and `none` (typed, bookmarked) are not. Node's fetch sends Sec-Fetch-Mode only.
// - Host, on a loopback listener: a name of the attacker's that resolves to 127.0.0.1 (DNS rebinding) makes its page
//   same-origin to the browser, so that its GETs carry no Origin and their answers can be read. What cannot be rebound
//   from afar passes: loopback names, literal addresses, names without a dot (nobody can register one: other
//   containers, a line in /etc/hosts), host.*.internal (how a container calls this machine); and allowed_hosts.
//   Elsewhere a process has names that nobody told it, so Host is free until allowed_hosts is written; nor is it asked
//   on a unix socket, which no browser reaches. The port is never compared: forwarders change it.

#include "config/settings.hpp"
#include "proxy/wire/head.hpp"

#include <cstdint>
#include <string_view>

namespace evenkeel::request {

// Where a connection came in.
enum class arrival : unsigned char { unix_socket, loopback, network };

enum class page_verdict : unsigned char { welcome, foreign_host, foreign_origin };
[[nodiscard]] std::string_view to_string(page_verdict verdict) noexcept; // the reason in answers, logs and metrics
[[nodiscard]] std::string_view explain(page_verdict verdict) noexcept;   // what to do about it

[[nodiscard]] page_verdict check_page(const config::page_options& allowed, arrival via,
                                      const wire::request_head& head) noexcept;

} // namespace evenkeel::request
