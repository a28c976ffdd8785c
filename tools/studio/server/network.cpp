#include "tools/studio/server/network.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <memory>

#include "data/base/error.hpp"

namespace studio {
namespace {

std::vector<std::string> own_addresses() {
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(found, freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* one = found; one; one = one->ifa_next) {
    if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_LOOPBACK))
      continue;
    char text[INET_ADDRSTRLEN] = {};
    const auto* address = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
    inet_ntop(AF_INET, &address->sin_addr, text, sizeof text);
    addresses.emplace_back(text);
  }
  return addresses;
}

}  // namespace

std::vector<std::string> names_of(const std::string& address) {
  if (address.empty()) return {};
  in_addr parsed{};
  if (inet_pton(AF_INET, address.c_str(), &parsed) != 1)
    throw data::BadInput(
        "--listen: expected an address of this machine as 192.168.1.5, or 0.0.0.0 "
        "for all, found '" +
        address + "'");
  if (parsed.s_addr == INADDR_ANY) return own_addresses();
  return {address};
}

}  // namespace studio
