#pragma once
// Certificates made while the tests run, so that none in the tree expires. Keys are EC P-256: quick to make.

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test {

struct certificate {
    std::string pem; // the certificate
    std::string key; // its private key, PEM
};

struct certificate_request {
    std::string common_name = "evenkeel test";
    std::vector<std::string> dns;                             // subject alternative names; "*.example" is fine
    std::vector<std::string> addresses;                       // IP literals
    std::chrono::seconds not_before = std::chrono::hours{-1}; // from now
    std::chrono::seconds not_after = std::chrono::hours{24};
};

class certificate_authority {
public:
    explicit certificate_authority(const std::string& name = "evenkeel test CA");
    ~certificate_authority();
    certificate_authority(const certificate_authority&) = delete;
    certificate_authority& operator=(const certificate_authority&) = delete;

    [[nodiscard]] const std::string& pem() const noexcept { return pem_; }
    [[nodiscard]] certificate issue(const certificate_request& what) const;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
    std::string pem_;
};

[[nodiscard]] certificate self_signed(const certificate_request& what);

// A directory of its own that goes with the object.
class temporary_directory {
public:
    temporary_directory();
    ~temporary_directory();
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;

    [[nodiscard]] std::string path(std::string_view name) const;
    std::string write(std::string_view name, std::string_view content) const; // the file's path

private:
    std::filesystem::path path_;
};

} // namespace evenkeel::test
