// A network of a test's own: a namespace without any interface but those that the test makes.
#pragma once

#include <string>

namespace qkd::support {

/// Moves the calling thread into a new network namespace until it is destroyed. Programs that it starts are in there too.
class NetSandbox {
  public:
    /// Empty when this machine lets us make namespaces and veth pairs, else why not.
    static std::string impossible();

    NetSandbox();
    ~NetSandbox();
    NetSandbox(const NetSandbox&) = delete;
    NetSandbox& operator=(const NetSandbox&) = delete;

    /// Two interfaces, up, joined by a wire. Throws when that fails.
    void wire(const std::string& one, const std::string& other);
    /// Runs ip(8) with these words; throws when it fails.
    static void ip(const std::string& words);

  private:
    int home_ = -1;
};

}  // namespace qkd::support
