#include "tests/support/certificates.hpp"

#include <cstdlib>
#include <fstream>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdexcept>

namespace evenkeel::test {

namespace {
struct deleter {
    void operator()(X509* it) const noexcept { X509_free(it); }
    void operator()(EVP_PKEY* it) const noexcept { EVP_PKEY_free(it); }
    void operator()(BIO* it) const noexcept { BIO_free(it); }
};
using x509_ptr = std::unique_ptr<X509, deleter>;
using key_ptr = std::unique_ptr<EVP_PKEY, deleter>;
using bio_ptr = std::unique_ptr<BIO, deleter>;

void check(bool good, const char* what) {
    if (!good) throw std::runtime_error(std::string("test certificate: ") + what);
}

key_ptr make_key() {
    key_ptr key(EVP_EC_gen("P-256"));
    check(key != nullptr, "key");
    return key;
}

std::string text_of(BIO* from) {
    char* data = nullptr;
    const long length = BIO_ctrl(from, BIO_CTRL_INFO, 0, &data);
    return {data, static_cast<std::size_t>(length)};
}
std::string pem_of(X509* certificate) {
    const bio_ptr out(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_X509(out.get(), certificate) == 1, "PEM");
    return text_of(out.get());
}
std::string pem_of(EVP_PKEY* key) {
    const bio_ptr out(BIO_new(BIO_s_mem()));
    check(PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "PEM");
    return text_of(out.get());
}

void extend(X509* certificate, X509* issuer, int what, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
    check(extension != nullptr, "extension");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

// `issuer` null: signed by its own key.
x509_ptr make(const certificate_request& what, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, bool authority) {
    x509_ptr out(X509_new());
    X509* const made = out.get();
    X509_set_version(made, 2);
    std::uint64_t serial = 0;
    check(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "serial");
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(made), static_cast<long>(what.not_before.count()));
    X509_gmtime_adj(X509_getm_notAfter(made), static_cast<long>(what.not_after.count()));
    X509_set_pubkey(made, key);
    X509_NAME* name = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(what.common_name.c_str()), -1, -1, 0);
    X509* const by = issuer != nullptr ? issuer : made;
    X509_set_issuer_name(made, X509_get_subject_name(by));
    extend(made, by, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(made, by, NID_key_usage, authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    std::string names;
    for (const auto& one : what.dns) names += (names.empty() ? "DNS:" : ",DNS:") + one;
    for (const auto& one : what.addresses) names += (names.empty() ? "IP:" : ",IP:") + one;
    if (!names.empty()) extend(made, by, NID_subject_alt_name, names);
    check(X509_sign(made, issuer_key != nullptr ? issuer_key : key, EVP_sha256()) != 0, "signature");
    return out;
}
} // namespace

struct certificate_authority::parts {
    key_ptr key;
    x509_ptr certificate;
};

certificate_authority::certificate_authority(const std::string& name) : parts_(std::make_unique<parts>()) {
    parts_->key = make_key();
    certificate_request what;
    what.common_name = name;
    parts_->certificate = make(what, parts_->key.get(), nullptr, nullptr, true);
    pem_ = pem_of(parts_->certificate.get());
}
certificate_authority::~certificate_authority() = default;

certificate certificate_authority::issue(const certificate_request& what) const {
    const key_ptr key = make_key();
    const x509_ptr made = make(what, key.get(), parts_->certificate.get(), parts_->key.get(), false);
    return {pem_of(made.get()), pem_of(key.get())};
}

certificate self_signed(const certificate_request& what) {
    const key_ptr key = make_key();
    const x509_ptr made = make(what, key.get(), nullptr, nullptr, false);
    return {pem_of(made.get()), pem_of(key.get())};
}

temporary_directory::temporary_directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evenkeel-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
    path_ = pattern;
}
temporary_directory::~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}
std::string temporary_directory::path(std::string_view name) const { return (path_ / name).string(); }
std::string temporary_directory::write(std::string_view name, std::string_view content) const {
    const std::string at = path(name);
    std::ofstream out(at, std::ios::binary);
    out << content;
    out.close();
    if (!out) throw std::runtime_error("cannot write " + at);
    return at;
}

} // namespace evenkeel::test
