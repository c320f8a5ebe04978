"""The one door to addresses that others name: what lies inside stays inside.

A name is resolved once, every address it has must be public or in a network that the operator named, and the caller
connects to exactly the address that was judged (OWASP, "Server-Side Request Forgery Prevention").
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# Networks whose last 32 bits are an IPv4 address that a gateway or the system itself may take us to: compatible
# addresses (RFC 4291, section 2.5.5.1), NAT64 (RFC 6052) and SIIT (RFC 2765, section 2.1).
_ENDING_IN_IPV4 = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"))
# ISATAP (RFC 5214, section 6.1): so an interface's id begins that ends in an IPv4 address, but for two bits of it.
_ISATAP, _ISATAP_BITS = 0x0000_5EFE, 0xFCFF_FFFF
# What Python's list of what is global has not, or has not yet.
_CLOSED: tuple[Network, ...] = (
    # NAT64 of one's own (RFC 8215), site-local (RFC 3879), segment routing (RFC 9602), documentation (RFC 9637).
    *map(IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "5f00::/16", "3fff::/20")),
    # Protocols' own (RFC 6890), where one cloud tells machines their keys (192.0.0.192), as another does at the second.
    *map(IPv4Network, ("192.0.0.0/24", "168.63.129.16/32")),
)


class NotAdmitted(Exception):
    """This address is none that we ask."""


class NoSuchHost(Exception):
    """No address goes by this name."""


@dataclass(frozen=True, slots=True)
class Door:
    """Lets through what is public, and what is in one of these networks."""

    networks: Sequence[Network] = ()

    def admitted(self, host: str, port: int) -> Address:
        """Resolve a host and return the address to connect to; blocks. Raises NotAdmitted, NoSuchHost."""
        found = _resolved(host, port)
        # All of them: one private address among public ones would be enough to get in at the next try.
        for one in found:
            if not self._admits(one):
                raise NotAdmitted(f"{host[:100]} lies in a network that is not public")
        return found[0]

    def names(self, one: Address) -> bool:
        """Whether an address is in one of the networks that the operator named."""
        return any(one in network for network in self.networks if network.version == one.version)

    def _admits(self, one: Address) -> bool:
        if self.names(one):
            return True
        if isinstance(one, IPv6Address):
            instead = _instead(one)
            if instead is not None:
                return self._admits(instead)
            if (int(one) >> 32) & _ISATAP_BITS == _ISATAP and not self._admits(_last_bits(one)):
                return False
        closed = any(one in network for network in _CLOSED if network.version == one.version)
        return one.is_global and not one.is_multicast and not closed


def _instead(one: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for, if it does."""
    if any(one in network for network in _ENDING_IN_IPV4):
        return _last_bits(one)
    return one.ipv4_mapped or one.sixtofour or (one.teredo or (None, None))[1]


def _last_bits(one: IPv6Address) -> IPv4Address:
    return IPv4Address(int(one) & 0xFFFF_FFFF)


def _resolved(host: str, port: int) -> list[Address]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise NoSuchHost(f"there is no host called {host[:100]}") from None
    return [ip_address(row[4][0]) for row in rows]
